// What a row has under a column's key: one meaning for sorting, filtering, grouping, colouring and saving.
import type { Column, ExperimentRow } from "@/types/api";
import { formatValue, numberOf } from "./format";

export type Value = number | string | boolean | null;
export const LATEST = "latest:";
export const TRIAL = "trial.";

const FACTS: Readonly<Record<string, (row: ExperimentRow) => Value>> = {
  experiment_id: (row) => row.experiment_id,
  status: (row) => row.status,
  progress: (row) => row.progress?.fraction ?? (row.status === "done" ? 1 : null),
  epoch: (row) => row.progress?.epoch ?? null,
  device: (row) => row.device,
  attempt: (row) => row.attempt,
  error: (row) => row.error,
  exit_signal: (row) => row.exit_signal,
  stop_reason: (row) => row.stop_reason,
  started_at: (row) => row.started_at,
  finished_at: (row) => row.finished_at,
  duration_s: (row) => row.duration_s,
  steps_per_s: (row) => row.steps_per_s,
  rss_bytes: (row) => row.rss_bytes,
  num_checkpoints: (row) => row.num_checkpoints,
  verdict: (row) => row.verdict,
  rank: (row) => row.rank,
  rung: (row) => row.rung ?? null,
  standing: (row) => row.standing ?? null,
  decision: (row) => row.decision ?? null,
};

/** Gives the value; null where the row has none. A metric's key means its best value, or the last
 *  one where none is finite; `latest:` before it the last one. */
export function valueOf(row: ExperimentRow, key: string): Value {
  const fact = FACTS[key];
  if (fact !== undefined) return fact(row);
  if (key.startsWith(LATEST)) return numberOf(row.latest[key.slice(LATEST.length)]);
  if (Object.hasOwn(row.swept, key)) return plain(row.swept[key]);
  if (Object.hasOwn(row.best, key) || Object.hasOwn(row.latest, key)) return numberOf(row.best[key] ?? row.latest[key]);
  if (key.startsWith(TRIAL)) return plain(row.trial[key.slice(TRIAL.length)] ?? null);
  return null;
}

function plain(value: unknown): Value {
  if (typeof value === "number" || typeof value === "string" || typeof value === "boolean" || value === null) return value;
  return formatValue(value);
}

/** Orders values; what is missing, before it what is NaN or infinite, comes last in either direction. */
export function compareValues(a: Value, b: Value, isDescending: boolean): number {
  const [lateA, lateB] = [lateness(a), lateness(b)];
  if (lateA !== lateB || lateA > 0) return lateA - lateB;
  const order = typeof a === "number" && typeof b === "number" ? a - b : kindOf(a) - kindOf(b) || compareTexts(String(a), String(b));
  return isDescending ? -order : order;
}

/** Lists go by their numbers, one after the other: `[16]` before `[16, 16]` before `[32]`. */
function compareTexts(a: string, b: string): number {
  const [partsA, partsB] = [partsOf(a), partsOf(b)];
  if (partsA === null || partsB === null) return collator.compare(a, b);
  for (let i = 0; i < Math.min(partsA.length, partsB.length); i += 1) {
    const order = collator.compare(partsA[i] ?? "", partsB[i] ?? "");
    if (order !== 0) return order;
  }
  return partsA.length - partsB.length;
}

const partsOf = (text: string): string[] | null => (/^\[.*\]$/.test(text) ? text.slice(1, -1).split(", ").filter(Boolean) : null);

/** Numbers stand before texts, as the hub has them: were they compared by their digits, there would be no order at all. */
const kindOf = (value: Value): number => (typeof value === "number" ? 0 : 1);

const lateness = (value: Value): number => (value === null ? 2 : typeof value === "number" && !Number.isFinite(value) ? 1 : 0);
const collator = new Intl.Collator("en", { numeric: true });

export function sortRows(rows: readonly ExperimentRow[], key: string, isDescending: boolean): ExperimentRow[] {
  const keyed = rows.map((row) => [valueOf(row, key), row] as const);
  keyed.sort(([a, rowA], [b, rowB]) => compareValues(a, b, isDescending) || rowA.experiment_id - rowB.experiment_id);
  return keyed.map(([, row]) => row);
}

export function columnsOf(columns: readonly Column[], kind: Column["kind"]): string[] {
  return columns.filter((column) => column.kind === kind).map(({ key }) => key);
}
