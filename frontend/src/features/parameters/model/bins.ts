// The values of a parameter as the rows or columns of a table: each by itself where they are few, numbers in ranges of
// equal width where they are many, so that nothing has to be left out.
import { formatNumber, shortValue } from "@/lib/format";
import type { Value } from "@/lib/rowValues";
import type { ExperimentRow } from "@/types/api";
import { axisOf, distinctValues, valueAt } from "./axes";

export interface Bin {
  readonly key: string;
  readonly label: string;
}

export interface Bins {
  readonly bins: readonly Bin[];
  readonly binOf: (value: Value) => string | null;
  /** How many values have no bin, for there are too many names. */
  readonly numLeftOut: number;
}

export const MAX_VALUES = 14;
const MAX_NAMES = 40;
const NUM_RANGES = 8;

export function binsOf(rows: readonly ExperimentRow[], key: string): Bins {
  const values = distinctValues(rows, key);
  const numbers = values.filter((value): value is number => typeof value === "number" && Number.isFinite(value));
  if (values.length > MAX_VALUES && numbers.length === values.length) return rangesOf(numbers, axisOf(rows, key, key).isLog);
  const shown = values.slice(0, MAX_NAMES).map((value) => ({ key: String(value), label: shortValue(value) }));
  const known = new Set(shown.map((bin) => bin.key));
  return { bins: shown, binOf: (value) => (value !== null && known.has(String(value)) ? String(value) : null), numLeftOut: values.length - shown.length };
}

function rangesOf(numbers: readonly number[], isLog: boolean): Bins {
  const [low, high] = [numbers[0] ?? 0, numbers.at(-1) ?? 1];
  const edge = (i: number): number => (isLog ? low * (high / low) ** (i / NUM_RANGES) : low + ((high - low) * i) / NUM_RANGES);
  const bins = Array.from({ length: NUM_RANGES }, (_, i) => ({ key: String(i), label: `${formatNumber(edge(i), 3)} to ${formatNumber(edge(i + 1), 3)}` }));
  const along = isLog ? Math.log : (value: number) => value;
  const binOf = (value: Value): string | null => {
    if (typeof value !== "number" || !Number.isFinite(value)) return null;
    const share = (along(value) - along(low)) / (along(high) - along(low) || 1);
    return String(Math.min(NUM_RANGES - 1, Math.max(0, Math.floor(share * NUM_RANGES))));
  };
  return { bins, binOf, numLeftOut: 0 };
}

/** Gives the experiments of each pair of bins. */
export function pairsOf(rows: readonly ExperimentRow[], across: string, down: string, columns: Bins, lines: Bins): ReadonlyMap<string, readonly ExperimentRow[]> {
  const cells = new Map<string, ExperimentRow[]>();
  for (const row of rows) {
    const [line, column] = [lines.binOf(valueAt(row, down)), columns.binOf(valueAt(row, across))];
    if (line === null || column === null) continue;
    const key = pairKey(line, column);
    const members = cells.get(key);
    if (members === undefined) cells.set(key, [row]);
    else members.push(row);
  }
  return cells;
}

export const pairKey = (line: string, column: string): string => `${line}\n${column}`;
