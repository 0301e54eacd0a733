// Which columns the table of experiments can have, which it has at first, and what the address says about it.
import { shortValue } from "@/lib/format";
import { columnsOf, LATEST, TRIAL, valueOf } from "@/lib/rowValues";
import type { Column, ExperimentTable, RunDetail } from "@/types/api";

export interface FlowColumn {
  readonly id: string;
  readonly title: string;
  readonly note?: string;
  readonly hint?: string;
  readonly group: "facts" | "parameters" | "metrics" | "validation";
  readonly width: number;
  readonly isNumber: boolean;
  readonly direction?: "min" | "max";
}

const fact = (id: string, title: string, width: number, isNumber = false, note?: string): FlowColumn => ({
  id, title, width, isNumber, group: "facts", ...(note === undefined ? {} : { note }),
}); // prettier-ignore

const FACTS: readonly FlowColumn[] = [
  fact("experiment_id", "id", 106, true),
  fact("status", "state", 112),
  fact("error", "what happened", 250),
  fact("progress", "progress", 176),
  fact("curve", "curve", 104),
  fact("steps_per_s", "rate", 84, true, "steps/s"),
  fact("duration_s", "time", 84, true),
  fact("left", "left", 84, true),
  fact("device", "device", 76),
  fact("rank", "rank", 60, true),
  fact("rss_bytes", "memory", 84, true),
  fact("num_checkpoints", "checkpoints", 96, true),
  fact("attempt", "attempt", 72, true),
  fact("verdict", "reproduced", 110),
  fact("started_at", "started", 130),
  fact("rung", "rung", 64, true),
  fact("standing", "search", 104),
  fact("decision", "why", 240),
];

/** Gives the width at which a title is not cut, within reason. */
const widthOf = (title: string, least: number): number => Math.min(220, Math.max(least, title.length * 7.4 + 26));

const EPOCHS_PX = 116;
const SAMPLED_ROWS = 200;
const widthOfValues = (table: ExperimentTable, key: string): number =>
  table.rows.slice(0, SAMPLED_ROWS).reduce((width, row) => Math.max(width, widthOf(shortValue(row.swept[key]), 0)), 0);

const NUMERIC_TYPES = new Set(["number"]);
/** What a window of 1440 px has room for: whatever a run has, what matters most stands within it. */
const ROOM_PX = 1350;

/** Gives all columns there can be, in the order of the list in which they are chosen. */
export function allColumns(table: ExperimentTable, short: ReadonlyMap<string, string>, isRunning: boolean): FlowColumn[] {
  const of = (kind: Column["kind"]): Column[] => table.columns.filter((column) => column.kind === kind);
  const parameters = of("swept").map(
    (column): FlowColumn => ({
      id: column.key,
      title: short.get(column.key) ?? column.key,
      hint: column.key,
      group: "parameters",
      width: Math.max(widthOf(short.get(column.key) ?? column.key, 84), widthOfValues(table, column.key)),
      isNumber: NUMERIC_TYPES.has(column.type),
    }),
  );
  const trial = of("trial").map(
    (column): FlowColumn => ({ id: column.key, title: column.key.slice(TRIAL.length).replaceAll("_", " "), group: "validation", width: widthOf(column.key.slice(TRIAL.length), 88), isNumber: column.type === "number" }),
  );
  const metrics = of("metric").flatMap((column): FlowColumn[] => {
    const more = column.direction == null ? {} : { direction: column.direction };
    const arrow = column.direction === "min" ? "lowest" : "highest";
    const shared = { title: column.key, group: "metrics", width: widthOf(`${column.key} best`, 96), isNumber: true, ...more } as const;
    return [
      { ...shared, id: column.key, note: "best", hint: `${column.key}: the best value so far (${arrow})` },
      { ...shared, id: LATEST + column.key, note: "last", hint: `${column.key}: the last value measured` },
    ];
  });
  // Bars need room, and why training ended early; how many epochs there were does not.
  const isShort = !isRunning && table.rows.every((row) => row.stop_reason == null);
  const facts = FACTS.map((column) => (column.id === "progress" && isShort ? { ...column, width: EPOCHS_PX } : column));
  return [...facts, ...parameters, ...trial, ...metrics];
}

/**
 * Gives what a table shows before anybody chose: how it stands and what went wrong, what is different about it, the metric that
 * decides with its curve, and the time. Parameters that would push these out of sight come after them, then as many other
 * metrics and facts as there is room for.
 */
export function firstColumns(table: ExperimentTable, run: RunDetail | undefined, columns: readonly FlowColumn[]): string[] {
  const widths = new Map(columns.map(({ id, width }) => [id, width]));
  const room = (ids: readonly string[]): number => ROOM_PX - ids.reduce((sum, id) => sum + (widths.get(id) ?? 0), 0);
  const metric = curveMetric(table, run, null);
  const hasFailed = table.rows.some(({ status }) => status === "failed");
  const isSearch = table.rows.some((row) => row.standing != null);
  const validation = run?.validation_mode === "grid_search" || run === undefined ? [] : trialColumns(table);
  const state = ["experiment_id", "status", ...(hasFailed ? ["error"] : []), "progress", ...(isSearch ? ["rung", "standing"] : [])];
  const result = [...(metric === null ? [] : [metric, "curve"]), "duration_s", ...(run?.status === "running" ? ["left"] : [])];
  const different = [...columnsOf(table.columns, "swept"), ...validation];
  const numNear = numFitting(different, widths, room([...state, ...result]));
  const first = [...state, ...different.slice(0, numNear), ...result, ...different.slice(numNear)];
  const others = [...otherMetrics(table, metric), "steps_per_s", "device"];
  return [...first, ...others.slice(0, numFitting(others, widths, room(first)))];
}

function numFitting(ids: readonly string[], widths: ReadonlyMap<string, number>, room: number): number {
  let [count, left] = [0, room];
  while (count < ids.length && (left -= widths.get(ids[count] ?? "") ?? 0) >= 0) count += 1;
  return count;
}

/** Gives the metrics beside the one that decides: of validation first, then of the test, of each the losses first. */
function otherMetrics(table: ExperimentTable, metric: string | null): string[] {
  const metrics = columnsOf(table.columns, "metric").filter((key) => key !== metric);
  const isOf = (split: string) => (key: string) => key.startsWith(`${split}/`);
  const isLoss = (key: string): boolean => key.includes("loss");
  const ordered = [...metrics.filter(isLoss), ...metrics];
  return [...new Set([...ordered.filter(isOf("val")), ...ordered.filter(isOf("test")), ...ordered])];
}

/** Gives the facts of validation that tell experiments apart. */
function trialColumns(table: ExperimentTable): string[] {
  return columnsOf(table.columns, "trial").filter((key) => new Set(table.rows.map((row) => valueOf(row, key))).size > 1);
}

/** Gives the metric that curves in rows show: the one sorted by, else the one the run selects by, else the first. */
export function curveMetric(table: ExperimentTable, run: RunDetail | undefined, sortedBy: string | null): string | null {
  const metrics = columnsOf(table.columns, "metric");
  const sorted = sortedBy?.startsWith(LATEST) === true ? sortedBy.slice(LATEST.length) : sortedBy;
  if (sorted !== null && metrics.includes(sorted)) return sorted;
  return run?.selected_metric ?? metrics.find((key) => key.startsWith("val/")) ?? metrics[0] ?? null;
}
