// The pages, each loaded when it is first opened; what is not finished is not here.
import { IconAdjustments, IconChartLine, IconFlask, IconListDetails, IconRoute, IconScale, IconSettings } from "@tabler/icons-react";
import { createElement, lazy, useState, type ComponentType } from "react";
import type { Page } from "@/lib/url";

interface Loadable<P> {
  readonly Page: ComponentType<P>;
  readonly load: () => Promise<unknown>;
}

/** The program of a page could not be had: its server is away, or has another build of the board by now. */
export class NotLoadedError extends Error {
  override readonly name = "NotLoadedError";
}

/**
 * A page that is loaded when it is first opened, or before. One that is there is drawn at once: what stands in for a page
 * that is not makes React hold back what follows for 300 ms.
 */
function page<P extends object>(load: () => Promise<ComponentType<P>>): Loadable<P> {
  let loaded: ComponentType<P> | null = null;
  let failure: NotLoadedError | null = null;
  const ready = async (): Promise<{ readonly default: ComponentType<P> }> => {
    // A second try would find the program without its style sheet: only the whole document begins anew.
    if (failure !== null) throw failure;
    try {
      return { default: (loaded ??= await load()) };
    } catch (cause) {
      throw (failure = new NotLoadedError("The server of this board does not have it, or does not answer.", { cause }));
    }
  };
  const Later = lazy(ready) as unknown as ComponentType<P>;
  const Page = (props: P): ReturnType<typeof createElement> => {
    // As it is when it is opened, since another component would begin anew.
    const [Shown] = useState(() => loaded ?? Later);
    return createElement(Shown, props);
  };
  return { Page, load: ready };
}

type OfRun = Loadable<{ readonly run: string }>;

export const OF_RUN: Partial<Record<Page, OfRun>> = {
  flow: page(async () => (await import("@/features/flow/components/FlowPage")).FlowPage),
  analysis: page(async () => (await import("@/features/analysis/components/AnalysisPage")).AnalysisPage),
  experiment: page(async () => (await import("@/features/experiment/components/ExperimentPage")).ExperimentPage),
  parameters: page(async () => (await import("@/features/parameters/components/ParametersPage")).ParametersPage),
  validation: page(async () => (await import("@/features/validation/components/ValidationPage")).ValidationPage),
};

export const OF_STORAGE: Partial<Record<Page, Loadable<object>>> = {
  runs: page(async () => (await import("@/features/runs/components/RunsPage")).RunsPage),
  settings: page(async () => (await import("@/features/settings/components/SettingsPage")).SettingsPage),
};

/** Loads a page that is likely to be opened. What cannot be had now is asked for again when it is. */
export async function loadPage(name: Page): Promise<void> {
  await (OF_STORAGE[name] ?? OF_RUN[name])?.load().catch(() => null);
}

export interface Place {
  readonly page: Page;
  readonly title: string;
  readonly question: string;
  readonly Icon: typeof IconSettings;
  readonly key: string;
}

export const PLACES: readonly Place[] = [
  { page: "runs", title: "Runs", question: "Which run?", Icon: IconListDetails, key: "1" },
  { page: "flow", title: "Flow", question: "What is happening, what went wrong?", Icon: IconRoute, key: "2" },
  { page: "analysis", title: "Analysis", question: "Which is better, since when?", Icon: IconChartLine, key: "3" },
  { page: "parameters", title: "Parameters", question: "Why? What the parameters do", Icon: IconAdjustments, key: "4" },
  { page: "validation", title: "Validation", question: "May I claim it?", Icon: IconScale, key: "5" },
  { page: "experiment", title: "Experiment", question: "Everything about this one", Icon: IconFlask, key: "6" },
  { page: "settings", title: "Settings", question: "Services, connection, look", Icon: IconSettings, key: "7" },
];
