// A parameter or metric as an axis: where each value lies, 0 to 1, and which values are named beside it.
import { formatNumber, formatValue, shortValue } from "@/lib/format";
import { compareValues, valueOf, type Value } from "@/lib/rowValues";
import type { ExperimentRow } from "@/types/api";

export interface Axis {
  readonly key: string;
  readonly title: string;
  /** Gives the position, null where the value is missing or not finite. */
  readonly positionOf: (value: Value) => number | null;
  readonly ticks: readonly { readonly at: number; readonly label: string }[];
  readonly isLog: boolean;
  readonly isNumeric: boolean;
}

const MANY_ORDERS = 50;
const ONE_ORDER = 10;
/** Where the middle one of values lies on a linear axis: drawn evenly at a half, over orders of magnitude near the lower end. */
const [CROWDED, NOT_EVEN] = [0.15, 0.3];
/** Names of values that lie nearer than this would stand on each other. */
const LEAST_SPACE = 0.055;
const MAX_TICKS = 9;

/** Gives the axis of a metric: its ticks are round numbers, not the values that happened to be measured. */
export function metricAxisOf(rows: readonly ExperimentRow[], key: string): Axis {
  const numbers = distinctValues(rows, key).filter((value): value is number => typeof value === "number" && Number.isFinite(value));
  const [low, high] = [numbers[0], numbers.at(-1)];
  if (low === undefined || high === undefined) return axisOf(rows, key, key);
  // A few bad scores are no reason to squeeze all the good ones at the end of a log axis.
  const axis = numericAxis(key, key, numbers, low > 0 && high / low >= MANY_ORDERS && isCrowded(numbers));
  const ticks = (axis.isLog ? logTicks(low, high) : roundTicks(low, high)).map(({ value, label }) => ({ at: axis.positionOf(value) ?? 0, label }));
  return { ...axis, ticks: ticks.length > 1 ? apart(ticks) : [low, high].map((value) => ({ at: axis.positionOf(value) ?? 0, label: formatNumber(value) })) };
}

interface Tick {
  readonly value: number;
  readonly label: string;
}

function roundTicks(low: number, high: number): Tick[] {
  if (low === high) return [{ value: low, label: formatNumber(low) }];
  const rough = (high - low) / 5;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * size).find((one) => one >= rough) ?? rough;
  const first = Math.ceil(low / step);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => {
    const value = Number(((first + i) * step).toPrecision(12));
    // All with as many digits as tell them apart.
    return { value, label: decimals <= 4 && Math.abs(value) < 1e5 ? value.toFixed(decimals).replace("-", "−") : formatNumber(value, 3) };
  });
}

function logTicks(low: number, high: number): Tick[] {
  const powers = Array.from({ length: Math.ceil(Math.log10(high / low)) + 2 }, (_, i) => Math.floor(Math.log10(low)) + i);
  const values = powers.flatMap((power) => [1, 2, 5].map((one) => Number(`${one}e${power}`)));
  return values.filter((value) => value >= low && value <= high).map((value) => ({ value, label: shortValue(value) }));
}

export function axisOf(rows: readonly ExperimentRow[], key: string, title: string): Axis {
  const values = distinctValues(rows, key);
  const numbers = values.filter((value): value is number => typeof value === "number" && Number.isFinite(value));
  const isNumeric = numbers.length > 0 && values.every((value) => typeof value === "number");
  return isNumeric ? numericAxis(key, title, numbers, isOverOrders(numbers)) : namedAxis(key, title, values);
}

/** Gives the value of a parameter or metric. One that is set to null has a value, unlike one that an experiment does not have. */
export function valueAt(row: ExperimentRow, key: string): Value {
  return row.swept[key] === null ? "null" : valueOf(row, key);
}

/** Tells whether experiments differ in a parameter: in its value, or in having it at all. */
export function isVaried(rows: readonly ExperimentRow[], key: string): boolean {
  const numValues = distinctValues(rows, key).length;
  return numValues > 1 || (numValues === 1 && rows.some((row) => valueAt(row, key) === null));
}

export function distinctValues(rows: readonly ExperimentRow[], key: string): Value[] {
  const found = new Map<string, Value>();
  for (const row of rows) {
    const value = valueAt(row, key);
    if (value !== null) found.set(String(value), value);
  }
  return [...found.values()].sort((a, b) => compareValues(a, b, false));
}

function isOverOrders(numbers: readonly number[]): boolean {
  const [low, high] = [numbers[0] ?? 0, numbers.at(-1) ?? 1];
  if (low <= 0 || high / low <= ONE_ORDER) return false;
  return high / low >= MANY_ORDERS ? middleOf(numbers) < NOT_EVEN : isCrowded(numbers);
}

function numericAxis(key: string, title: string, numbers: readonly number[], isLog: boolean): Axis {
  const [low, high] = [numbers[0] ?? 0, numbers.at(-1) ?? 1];
  const along = isLog ? Math.log : (value: number) => value;
  const room = along(high) - along(low);
  const positionOf = (value: Value): number | null =>
    typeof value !== "number" || !Number.isFinite(value) ? null : room === 0 ? 0.5 : (along(value) - along(low)) / room;
  const isFew = numbers.length <= MAX_TICKS;
  const ticks = (isFew ? numbers : spacedTicks(low, high, isLog)).map((value) => ({ at: positionOf(value) ?? 0, label: isFew ? shortValue(value) : formatNumber(value, 3) }));
  return { key, title, positionOf, isLog, isNumeric: true, ticks: apart(ticks) };
}

/** Tells whether most values stand near the lower end, as those do that were drawn over orders of magnitude. */
const isCrowded = (numbers: readonly number[]): boolean => numbers.length > 3 && middleOf(numbers) < CROWDED;

function middleOf(numbers: readonly number[]): number {
  const [low, high] = [numbers[0] ?? 0, numbers.at(-1) ?? 1];
  return ((numbers[Math.floor((numbers.length - 1) / 2)] ?? low) - low) / (high - low);
}

/** Leaves out ticks that are too near to the one before; the last one stays. */
function apart(ticks: Axis["ticks"]): Axis["ticks"] {
  const last = ticks.at(-1);
  const kept: Axis["ticks"][number][] = [];
  for (const tick of ticks) {
    const before = kept.at(-1);
    if (before !== undefined && tick.at - before.at < LEAST_SPACE) {
      if (tick === last && kept.length > 1) kept[kept.length - 1] = tick;
      continue;
    }
    kept.push(tick);
  }
  return kept;
}

function spacedTicks(low: number, high: number, isLog: boolean): number[] {
  return Array.from({ length: 5 }, (_, i) => (isLog ? low * (high / low) ** (i / 4) : low + ((high - low) * i) / 4));
}

function namedAxis(key: string, title: string, values: readonly Value[]): Axis {
  const places = new Map(values.map((value, i) => [String(value), values.length === 1 ? 0.5 : i / (values.length - 1)]));
  const positionOf = (value: Value): number | null => (value === null ? null : (places.get(String(value)) ?? null));
  const every = Math.ceil(values.length / 14);
  return {
    key,
    title,
    positionOf,
    isLog: false,
    isNumeric: false,
    ticks: values.filter((_, i) => i % every === 0).map((value) => ({ at: positionOf(value) ?? 0, label: formatValue(value) })),
  };
}

export type Span = readonly [low: number, high: number];
export type Brushes = ReadonlyMap<string, Span>;

const [BRUSH, BRUSH_STEP] = [0.25, 0.05];

/** Gives a brush after a key: arrows move it, with shift its upper end; null takes it away, undefined where the key means nothing. */
export function brushAfter(brush: Span | undefined, key: string, isUpperEnd: boolean): Span | null | undefined {
  if (key === "Escape" || key === "Delete" || key === "Backspace") return null;
  const step = { ArrowUp: BRUSH_STEP, ArrowDown: -BRUSH_STEP }[key];
  if (step === undefined) return undefined;
  if (brush === undefined) return step > 0 ? [0, BRUSH] : [1 - BRUSH, 1];
  const [low, high] = brush;
  if (isUpperEnd) return [low, Math.min(1, Math.max(low + BRUSH_STEP, high + step))];
  const by = Math.min(1 - high, Math.max(-low, step));
  return [low + by, high + by];
}

/** Gives the experiments that lie within every brush. */
export function brushed(rows: readonly ExperimentRow[], axes: readonly Axis[], brushes: Brushes): number[] {
  const used = axes.filter((axis) => brushes.has(axis.key));
  return rows
    .filter((row) =>
      used.every((axis) => {
        const [low, high] = brushes.get(axis.key) ?? [0, 1];
        const at = axis.positionOf(valueAt(row, axis.key));
        return at !== null && at >= low && at <= high;
      }),
    )
    .map((row) => row.experiment_id);
}
