// A chart to take away: as a picture that says what it shows, and as its points.
import { IconDownload, IconPhoto } from "@tabler/icons-react";
import { useState, type ReactNode, type RefObject } from "react";
import { IconButton } from "@/components/Button";
import { themeColour } from "@/lib/colours";
import { csvOf, saveBlob, saveText } from "@/lib/download";
import { postForBytes, runRoute } from "@/lib/hub/client";
import { curvesBody, readCurves } from "@/lib/hub/columns";
import { useAt } from "@/lib/hub/queries";
import { captioned, type Caption } from "../model/caption";
import type { PanelContext } from "../model/context";
import classes from "./Analysis.module.css";

interface Props {
  readonly metricKey: string;
  readonly context: PanelContext;
}

const MAX_NAMED = 24;
/** What the hub gives of a curve at most. */
const EVERY_POINT = 1_000_000;

const fileName = (run: string, metricKey: string, kind: string): string => `${run}-${metricKey.replaceAll("/", "-")}.${kind}`;

export function SavePicture({ metricKey, context, canvas }: Props & { readonly canvas: RefObject<HTMLCanvasElement | null> }): ReactNode {
  const save = (): void => {
    if (canvas.current === null) return;
    captioned(canvas.current, captionOf(metricKey, context)).toBlob((blob) => blob !== null && saveBlob(blob, fileName(context.run, metricKey, "png")));
  };
  return (
    <IconButton label={`Save ${metricKey} as a picture`} onClick={save}>
      <IconPhoto />
    </IconButton>
  );
}

function captionOf(title: string, { run, view, plan, colouring }: PanelContext): Caption {
  const selected = [...plan.entries.values()].filter(({ isSelected }) => isSelected).slice(0, MAX_NAMED);
  const note = [
    run,
    `over ${plan.ask.x === "since" ? "time since start" : plan.ask.x}`,
    view.smoothing > 0 ? `smoothed by ${view.smoothing}` : "",
    selected.length > 0 || colouring.column === null ? "" : `colour: ${colouring.column}`,
  ];
  const named = selected.map(({ name, row }) => ({ label: name, colour: colouring.colourOf(row) ?? themeColour("--grey-curve") }));
  return { title, note: note.filter(Boolean).join(", "), legend: named.length > 0 ? named : colouring.legend };
}

export function SaveData({ metricKey, context }: Props): ReactNode {
  const { run, rows } = context;
  const at = useAt();
  const [problem, setProblem] = useState<string | null>(null);
  const save = async (): Promise<void> => {
    // Not the points that are drawn, which may be thinned.
    const choice = { keys: [metricKey], experiments: rows.map((row) => row.experiment_id), points: EVERY_POINT };
    const curves = readCurves(await postForBytes(runRoute(run, "/metrics"), curvesBody(choice, at))).byKey.get(metricKey);
    const lines = rows.flatMap((row) => {
      const curve = curves?.get(row.experiment_id);
      if (curve === undefined) return [];
      return Array.from({ length: curve.length }, (_, i) => [row.experiment_id, curve.epochs[i] ?? 0, curve.steps[i] ?? -1, curve.times[i] ?? 0, curve.values[i] ?? NaN]);
    });
    saveText(csvOf([["experiment_id", "epoch", "step", "time", metricKey], ...lines]), fileName(run, metricKey, "csv"), "text/csv");
  };
  const onClick = (): void => {
    setProblem(null);
    save().catch((error: unknown) => setProblem(error instanceof Error ? error.message : String(error)));
  };
  return (
    <>
      <IconButton label={`Save the points of ${metricKey}`} onClick={onClick}>
        <IconDownload />
      </IconButton>
      {problem === null ? null : (
        <span role="alert" className={classes.problem}>
          {problem}
        </span>
      )}
    </>
  );
}
