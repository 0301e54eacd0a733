// The rows of the table into what a panel asks for, and its picture into what a chart draws.
import type { Band, ChartSpec, Line } from "@/components/chart/spec";
import { formatValue } from "@/lib/format";
import { MAX_LINES, type PanelAsk, type PanelPicture } from "@/lib/panel/picture";
import { valueOf } from "@/lib/rowValues";
import type { Selection } from "@/lib/selection";
import type { ExperimentRow } from "@/types/api";
import type { Colouring } from "./colouring";
import { splitOf } from "./panels";
import type { AnalysisView } from "./view";

/** A curve, or the mean of several: what stands for it in the table. */
interface Entry {
  readonly row: ExperimentRow;
  readonly isSelected: boolean;
  readonly name: string;
  /** What it is called, over how many. */
  readonly label: (n: number, least: number) => string;
}

/** What all charts of the page have in common. */
export interface Plan {
  readonly ask: Omit<PanelAsk, "key">;
  /** By the number of a line. */
  readonly entries: ReadonlyMap<number, Entry>;
  readonly isFew: boolean;
}

const MAX_STRONG = 20;

export function planOf(rows: readonly ExperimentRow[], view: AnalysisView, selection: Selection, describe: (row: ExperimentRow) => string): Plan {
  const means = view.average.length === 0 ? null : meansOf(rows, view, selection);
  // By the clock, no two experiments are at the same place: means are over epochs.
  const x = means !== null && view.x !== "step" ? "epoch" : view.x;
  const entries = means?.entries ?? new Map(rows.map((row) => [row.experiment_id, { row, isSelected: selection.set.has(row.experiment_id), name: describe(row), label: () => describe(row) }]));
  return {
    entries,
    // Few lines are all drawn strongly, unless some of them were selected.
    isFew: entries.size <= MAX_STRONG && (means !== null || selection.ids.length === 0),
    ask: {
      experiments: rows.map((row) => row.experiment_id),
      startedAt: x === "since" ? rows.map((row) => row.started_at) : null,
      groups: means?.groups ?? null,
      chosen: selection.ids,
      x,
      smoothing: view.smoothing,
      isLogX: view.isLogX,
      isLogY: view.isLogY,
      isTrimmed: view.isTrimmed,
    },
  };
}

/** Gives a mean for each combination of the chosen columns, over the experiments that have it. */
function meansOf(rows: readonly ExperimentRow[], view: AnalysisView, selection: Selection): { readonly entries: Map<number, Entry>; readonly groups: number[] } {
  const numbers = new Map<string, number>();
  const entries = new Map<number, Entry>();
  const groups = rows.map((row) => {
    const name = view.average.map((column) => `${column.split(".").at(-1) ?? column} ${formatValue(valueOf(row, column))}`).join(" · ");
    const number = numbers.get(name) ?? numbers.size;
    numbers.set(name, number);
    const known = entries.get(number);
    const isSelected = (known?.isSelected ?? false) || selection.set.has(row.experiment_id);
    entries.set(number, { row: known?.row ?? row, isSelected, name, label: (n, least) => `${name} (mean of ${least < n ? `${least} to ` : ""}${n})` });
    return number;
  });
  return { entries, groups };
}

export function specOf(picture: PanelPicture, key: string, { entries, ask, isFew }: Plan, colouring: Colouring, grey: string): ChartSpec {
  const colourOf = (id: number): string => {
    const row = entries.get(id)?.row;
    return (row === undefined ? null : colouring.colourOf(row)) ?? grey;
  };
  const lines = picture.lines.flatMap(({ id, x, y, raw, n, least }): Line[] => {
    const entry = entries.get(id);
    if (entry === undefined) return [];
    // A click on a mean selects the first experiment of it.
    const line = { id: entry.row.experiment_id, x, y, length: x.length, colour: colourOf(id), isStrong: entry.isSelected || isFew, label: entry.label(n, least) };
    return [raw === undefined ? line : { ...line, raw }];
  });
  const bands = picture.bands.map(({ id, x, low, high }): Band => ({ x, low, high, length: x.length, colour: colourOf(id) }));
  return { lines, bands, layer: picture.layer, spans: picture.spans, ...axesOf(key, ask) };
}

/** Gives a chart with nothing in it yet. */
export function emptySpec(key: string, { ask }: Plan): ChartSpec {
  return { lines: [], bands: [], ...axesOf(key, ask) };
}

function axesOf(key: string, ask: Plan["ask"]): Pick<ChartSpec, "isLogX" | "isLogY" | "isDashed" | "isTrimmed" | "xKind"> {
  return {
    isLogX: ask.isLogX,
    isLogY: ask.isLogY,
    isDashed: splitOf(key) === "test",
    isTrimmed: ask.isTrimmed,
    xKind: ask.x === "since" ? "duration" : ask.x === "time" ? "moment" : "number",
  };
}

/** As many points as a chart has pixels, fewer where curves are a crowd; means need every one, since they are matched. */
export function pointsFor(count: number, view: AnalysisView): number {
  if (view.average.length > 0) return 5000;
  if (count > MAX_LINES) return 240;
  return view.zoom === null ? 800 : 8000;
}
