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
  fact("experiment_id", "id", 56, true),
  fact("status", "state", 112),
  fact("progress", "progress", 176),
  fact("curve", "curve", 104),
  fact("steps_per_s", "rate", 84, true, "steps/s"),
  fact("duration_s", "time", 84, true),
  fact("left", "left", 84, true),
  fact("device", "device", 76),
  fact("error", "what happened", 320),
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

const SAMPLED_ROWS = 200;
const widthOfValues = (table: ExperimentTable, key: string): number =>
  table.rows.slice(0, SAMPLED_ROWS).reduce((width, row) => Math.max(width, widthOf(shortValue(row.swept[key]), 0)), 0);

const NUMERIC_TYPES = new Set(["number"]);
const MAX_METRICS_AT_FIRST = 4;

/** Gives all columns there can be, in the order of the list in which they are chosen. */
export function allColumns(table: ExperimentTable, short: ReadonlyMap<string, string>): FlowColumn[] {
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
  return [...FACTS, ...parameters, ...trial, ...metrics];
}

/** Gives what a table shows before anybody chose. */
export function firstColumns(table: ExperimentTable, run: RunDetail | undefined): string[] {
  const metrics = columnsOf(table.columns, "metric");
  const selected = run?.selected_metric ?? null;
  const isOf = (split: string) => (key: string) => key.startsWith(`${split}/`);
  const ordered = [...(selected === null ? [] : [selected]), ...metrics.filter(isOf("val")), ...metrics.filter(isOf("test")), ...metrics];
  const chosen = [...new Set(ordered)].slice(0, MAX_METRICS_AT_FIRST);
  const validation = run?.validation_mode === "grid_search" || run === undefined ? [] : trialColumns(table);
  const isFailing = table.rows.some((row) => row.error !== null || row.stop_reason !== null);
  const isSearch = table.rows.some((row) => row.standing != null);
  return ["experiment_id", "status", "progress", ...(isSearch ? ["rung", "standing"] : []), ...columnsOf(table.columns, "swept"), ...validation, ...chosen, "curve", "steps_per_s", "duration_s", ...(run?.status === "running" ? ["left"] : []), "device", ...(isFailing ? ["error"] : [])]; // prettier-ignore
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
