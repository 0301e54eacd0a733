// Load over time as charts: percent beside percent, memory beside memory, in units that are read at a glance.
import type { ChartSpec, Line } from "@/components/chart/spec";
import type { SystemMetrics, SystemSeries } from "@/types/api";

export interface LoadChart {
  readonly title: string;
  readonly unit: string;
  readonly spec: ChartSpec;
}

const CHARTS = [
  { title: "processor", keys: ["cpu_percent"], hint: "% of a core" },
  { title: "memory", keys: ["rss_bytes"], hint: "" },
  { title: "rate", keys: ["steps_per_s"], hint: "steps/s" },
  { title: "GPU", keys: ["gpu_percent"], hint: "% of the time" },
  { title: "GPU memory", keys: ["gpu_memory_bytes"], hint: "" },
] as const;

const SCALES = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]] as const; // prettier-ignore
/** Loads are told every 5 s; where nothing came for longer, nobody trained. */
const GAP_S = 20;

/** Gives the charts of what was told. */
export function loadCharts(metrics: SystemMetrics, colour: (slot: number) => string): LoadChart[] {
  const began = metrics.series.reduce((first, { times }) => Math.min(first, times[0] ?? first), Infinity);
  return CHARTS.flatMap(({ title, keys, hint }): LoadChart[] => {
    const found = metrics.series.filter(({ key }) => (keys as readonly string[]).includes(key));
    if (found.length === 0) return [];
    const [unit, divisor] = scaleOf(found);
    const lines = found.flatMap((series, slot) => piecesOf(series, divisor, colour(slot), title, began));
    return [{ title, unit: unit ?? hint, spec: { lines, bands: [], isLogX: false, isLogY: false, isDashed: false, isTrimmed: false, xKind: "duration" } }];
  });
}

function scaleOf(found: readonly SystemSeries[]): readonly [unit: string | null, divisor: number] {
  if (found[0]?.unit !== "bytes") return [null, 1];
  const most = found.reduce((high, { values }) => values.reduce((a, b) => Math.max(a, b), high), 0);
  return SCALES.find(([, size]) => most >= size) ?? ["B", 1];
}

/** Cuts a series where nothing was told for a while: a line across would say that it went on. */
export function piecesOf(series: SystemSeries, divisor: number, colour: string, label: string, began = 0): Line[] {
  const { times, values, num_points: numPoints } = series;
  // Of a thinned series each stretch has its lowest and its highest point, so that it may skip two stretches.
  const gap = GAP_S * (numPoints > times.length ? (1.1 * numPoints) / times.length : 1);
  const lines: Line[] = [];
  for (let start = 0; start < times.length; ) {
    let end = start + 1;
    while (end < times.length && (times[end] ?? 0) - (times[end - 1] ?? 0) <= gap) end += 1;
    const x = Float64Array.from(times.slice(start, end), (time) => time - began);
    const y = Float64Array.from(values.slice(start, end), (value) => value / divisor);
    lines.push({ id: lines.length, x, y, length: end - start, colour, isStrong: true, label });
    start = end;
  }
  return lines;
}
