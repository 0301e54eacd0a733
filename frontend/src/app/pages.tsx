// The pages, each loaded when it is first opened; what is not finished is not here.
import { IconAdjustments, IconChartLine, IconFlask, IconListDetails, IconRoute, IconScale, IconSettings } from "@tabler/icons-react";
import { lazy, type ComponentType, type LazyExoticComponent } from "react";
import type { Page } from "@/lib/url";

type Props = { readonly run: string };
type Lazy<P> = LazyExoticComponent<ComponentType<P>>;

export const OF_RUN: Partial<Record<Page, Lazy<Props>>> = {
  flow: lazy(async () => ({ default: (await import("@/features/flow/components/FlowPage")).FlowPage })),
  analysis: lazy(async () => ({ default: (await import("@/features/analysis/components/AnalysisPage")).AnalysisPage })),
  experiment: lazy(async () => ({ default: (await import("@/features/experiment/components/ExperimentPage")).ExperimentPage })),
  parameters: lazy(async () => ({ default: (await import("@/features/parameters/components/ParametersPage")).ParametersPage })),
  validation: lazy(async () => ({ default: (await import("@/features/validation/components/ValidationPage")).ValidationPage })),
};

export const OF_STORAGE: Partial<Record<Page, Lazy<object>>> = {
  runs: lazy(async () => ({ default: (await import("@/features/runs/components/RunsPage")).RunsPage })),
  settings: lazy(async () => ({ default: (await import("@/features/settings/components/SettingsPage")).SettingsPage })),
};

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
