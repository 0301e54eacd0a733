// Curves into what a chart draws: lines for those that count, a grey layer for the rest, means with bands.
import type { Band, ChartSpec, Line } from "@/components/chart/spec";
import type { Curve, CurveSet } from "@/lib/curves";
import { formatValue } from "@/lib/format";
import { valueOf } from "@/lib/rowValues";
import type { Selection } from "@/lib/selection";
import { smoothed } from "@/lib/smooth";
import { spreadOf } from "@/lib/statistics";
import type { ExperimentRow } from "@/types/api";
import type { Colouring } from "./colouring";
import { splitOf } from "./panels";
import type { AnalysisView, XAxis } from "./view";

export const MAX_LINES = 200;

interface Around {
  readonly view: AnalysisView;
  readonly selection: Selection;
  readonly colouring: Colouring;
  readonly grey: string;
  readonly describe: (row: ExperimentRow) => string;
}

/** Gives the column along x; `since` counts from each experiment's first value. */
export function xColumn(curve: Curve, axis: XAxis, startedAt: number | null): Float64Array {
  switch (axis) {
    case "epoch":
      return curve.epochs;
    case "step":
      return curve.steps;
    case "time":
      return curve.times;
    case "since": {
      const start = startedAt ?? curve.times[0] ?? 0;
      return curve.times.map((time) => time - start);
    }
  }
}

export function specOf(set: CurveSet, key: string, rows: readonly ExperimentRow[], around: Around): ChartSpec {
  const { view } = around;
  const curves = set.byKey.get(key) ?? new Map<number, Curve>();
  const own = view.average.length === 0 ? singleLines(curves, rows, around) : meanLines(curves, rows, around);
  return {
    ...own,
    isLogX: view.isLogX,
    isLogY: view.isLogY,
    isDashed: splitOf(key) === "test",
    isTrimmed: view.isTrimmed,
    xKind: view.x === "since" ? "duration" : view.x === "time" ? "moment" : "number",
  };
}

type Drawn = Pick<ChartSpec, "lines" | "crowd" | "bands">;

function singleLines(curves: ReadonlyMap<number, Curve>, rows: readonly ExperimentRow[], around: Around): Drawn {
  const { view, selection } = around;
  const isSelecting = selection.ids.length > 0;
  const [lines, crowd] = [[] as Line[], [] as ChartSpec["crowd"][number][]];
  const isCrowded = rows.length > MAX_LINES;
  for (const row of rows) {
    const curve = curves.get(row.experiment_id);
    if (curve === undefined || curve.length === 0) continue;
    const isStrong = selection.set.has(row.experiment_id);
    const isLine = isStrong ? lines.length < MAX_LINES : !isCrowded;
    const x = xColumn(curve, view.x, row.started_at);
    if (isLine) lines.push(lineOf(curve, x, row, isStrong || (!isSelecting && !isCrowded && rows.length <= 20), around));
    else crowd.push({ x, y: curve.values, length: curve.length });
  }
  return { lines, crowd, bands: [] };
}

function lineOf(curve: Curve, x: Float64Array, row: ExperimentRow, isStrong: boolean, { view, colouring, grey, describe }: Around): Line {
  const isSmooth = view.smoothing > 0;
  return {
    id: row.experiment_id,
    x,
    y: isSmooth ? smoothed(curve.values, curve.length, view.smoothing) : curve.values,
    ...(isSmooth ? { raw: curve.values } : {}),
    length: curve.length,
    colour: colouring.colourOf(row) ?? grey,
    isStrong,
    label: describe(row),
  };
}

/** Gives a mean for each combination of the chosen columns, over the experiments that have it, with a band of one sd. */
function meanLines(curves: ReadonlyMap<number, Curve>, rows: readonly ExperimentRow[], around: Around): Drawn {
  const groups = new Map<string, ExperimentRow[]>();
  for (const row of rows) {
    const name = around.view.average.map((column) => `${column.split(".").at(-1) ?? column} ${formatValue(valueOf(row, column))}`).join(" · ");
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const [lines, bands] = [[] as Line[], [] as Band[]];
  for (const [name, members] of [...groups].slice(0, MAX_LINES)) {
    const first = members[0];
    if (first === undefined) continue;
    const mean = meanOf(curves, members, around.view.x);
    if (mean === null) continue;
    const isSelected = members.some((row) => around.selection.set.has(row.experiment_id));
    const colour = around.colouring.colourOf(first) ?? around.grey;
    const isSmooth = around.view.smoothing > 0;
    lines.push({
      id: first.experiment_id,
      x: mean.x,
      y: isSmooth ? smoothed(mean.y, mean.x.length, around.view.smoothing) : mean.y,
      ...(isSmooth ? { raw: mean.y } : {}),
      length: mean.x.length,
      colour,
      isStrong: isSelected || groups.size <= 20,
      label: `${name} (mean of ${mean.n})`,
    });
    bands.push({ x: mean.x, low: mean.low, high: mean.high, length: mean.x.length, colour });
  }
  return { lines, bands: bands.length <= 30 ? bands : [], crowd: [] };
}

interface Mean {
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly n: number;
}

function meanOf(curves: ReadonlyMap<number, Curve>, members: readonly ExperimentRow[], axis: XAxis): Mean | null {
  const at = new Map<number, number[]>();
  let n = 0;
  for (const row of members) {
    const curve = curves.get(row.experiment_id);
    if (curve === undefined || curve.length === 0) continue;
    n += 1;
    // Only epochs and steps are the same moments for all; by the clock they are matched by epoch.
    const x = axis === "step" ? curve.steps : curve.epochs;
    for (let i = 0; i < curve.length; i += 1) {
      const values = at.get(x[i] ?? 0);
      if (values === undefined) at.set(x[i] ?? 0, [curve.values[i] ?? Number.NaN]);
      else values.push(curve.values[i] ?? Number.NaN);
    }
  }
  if (n === 0) return null;
  const places = [...at.keys()].sort((a, b) => a - b);
  const spreads = places.map((place) => spreadOf(at.get(place) ?? []));
  const column = (of: (spread: NonNullable<(typeof spreads)[number]>) => number): Float64Array =>
    Float64Array.from(spreads, (spread) => (spread === null ? Number.NaN : of(spread)));
  return {
    x: Float64Array.from(places),
    y: column(({ mean }) => mean),
    low: column(({ mean, sd }) => mean - (sd ?? 0)),
    high: column(({ mean, sd }) => mean + (sd ?? 0)),
    n,
  };
}
