// Which columns the table of experiments can have, which it has at first, and what the address says about it.
import { fitted, numFitting, sumOf, type Sized } from "@/components/grid/fit";
import { shortValue } from "@/lib/format";
import { columnsOf, LATEST, TRIAL, valueOf } from "@/lib/rowValues";
import type { Column, ExperimentRow, ExperimentTable, RunDetail } from "@/types/api";

export interface FlowColumn extends Sized {
  readonly id: string;
  readonly title: string;
  readonly note?: string;
  readonly hint?: string;
  readonly group: "facts" | "parameters" | "metrics" | "validation";
  readonly isNumber: boolean;
  readonly direction?: "min" | "max";
}

const fact = (id: string, title: string, width: number, { isNumber = false, least = width, note }: { isNumber?: boolean; least?: number; note?: string } = {}): FlowColumn => ({
  id, title, width, least, isNumber, group: "facts", ...(note === undefined ? {} : { note }),
}); // prettier-ignore

const NUMBER = { isNumber: true };
const FACTS: readonly FlowColumn[] = [
  fact("experiment_id", "id", 106, NUMBER),
  fact("status", "state", 112),
  fact("error", "what happened", 250, { least: 116 }),
  fact("progress", "progress", 176, { least: 150 }),
  fact("curve", "curve", 104),
  fact("steps_per_s", "rate", 84, { isNumber: true, note: "steps/s" }),
  fact("duration_s", "time", 84, { isNumber: true, least: 70 }),
  fact("left", "left", 84, { isNumber: true, least: 70 }),
  fact("device", "device", 76),
  fact("rank", "rank", 60, NUMBER),
  fact("rss_bytes", "memory", 84, NUMBER),
  fact("num_checkpoints", "checkpoints", 96, NUMBER),
  fact("attempt", "attempt", 72, NUMBER),
  fact("verdict", "reproduced", 110),
  fact("started_at", "started", 130),
  fact("rung", "rung", 64, NUMBER),
  fact("standing", "search", 104, { least: 84 }),
  fact("decision", "why", 240),
];

/** Gives the width at which a title is not cut, within reason. */
const widthOf = (title: string, least: number): number => Math.min(220, Math.max(least, title.length * 7.4 + 26));

const EPOCHS_PX = { width: 116, least: 92 };
const PLAIN_ID_PX = { width: 86, least: 86 };
const SAMPLED_ROWS = 200;
const LEAST_PX = 58;
const widthOfValues = (table: ExperimentTable, valueIn: (row: ExperimentRow) => unknown): number =>
  table.rows.slice(0, SAMPLED_ROWS).reduce((width, row) => Math.max(width, Math.min(220, shortValue(valueIn(row)).length * 8.1 + 20)), 0);

const NUMERIC_TYPES = new Set(["number"]);

/** Gives the widths of a column of values: its title may be cut where there is no room, its values may not. */
function widthsOf(title: string, least: number, values: number): Sized {
  const width = Math.max(widthOf(title, least), values);
  return { width, least: Math.min(width, Math.max(LEAST_PX, values)) };
}

interface TableState {
  readonly isRunning: boolean;
  /** Whether rows can be unfolded: failed ones and groups. */
  readonly isFoldable: boolean;
}

/** Gives all columns there can be, in the order of the list in which they are chosen. */
export function allColumns(table: ExperimentTable, short: ReadonlyMap<string, string>, { isRunning, isFoldable }: TableState): FlowColumn[] {
  const of = (kind: Column["kind"]): Column[] => table.columns.filter((column) => column.kind === kind);
  const parameters = of("swept").map(
    (column): FlowColumn => ({
      id: column.key,
      title: short.get(column.key) ?? column.key,
      hint: column.key,
      group: "parameters",
      ...widthsOf(short.get(column.key) ?? column.key, 84, widthOfValues(table, (row) => row.swept[column.key])),
      isNumber: NUMERIC_TYPES.has(column.type),
    }),
  );
  const trial = of("trial").map((column): FlowColumn => {
    const [name, title] = [column.key.slice(TRIAL.length), column.key.slice(TRIAL.length).replaceAll("_", " ")];
    return { id: column.key, title, group: "validation", ...widthsOf(name, 88, widthOfValues(table, (row) => row.trial[name])), isNumber: column.type === "number" };
  });
  const metrics = of("metric").flatMap((column): FlowColumn[] => {
    const more = column.direction == null ? {} : { direction: column.direction };
    const arrow = column.direction === "min" ? "lowest" : "highest";
    const widths = { width: widthOf(`${column.key} best`, 96), least: widthOf(column.key, 84) };
    const shared = { title: column.key, group: "metrics", ...widths, isNumber: true, ...more } as const;
    return [
      { ...shared, id: column.key, note: "best", hint: `${column.key}: the best value so far (${arrow})` },
      { ...shared, id: LATEST + column.key, note: "last", hint: `${column.key}: the last value measured` },
    ];
  });
  // Bars need room, and why training ended early; how many epochs there were does not.
  const isShort = !isRunning && table.rows.every((row) => row.stop_reason == null);
  const facts = FACTS.map((column) => {
    if (column.id === "experiment_id" && !isFoldable) return { ...column, ...PLAIN_ID_PX };
    return column.id === "progress" && isShort ? { ...column, ...EPOCHS_PX } : column;
  });
  return [...facts, ...parameters, ...trial, ...metrics];
}

/**
 * Gives what a table of so many px shows before anybody chose: how it stands and what went wrong, what is different about it,
 * the metric that decides with its curve, and the time. Where there is no room, columns become narrower, then the curve goes,
 * then parameters stand after these; where there is more, it is for other metrics and facts.
 */
export function firstColumns(table: ExperimentTable, run: RunDetail | undefined, columns: readonly FlowColumn[], room: number): FlowColumn[] {
  const byId = new Map(columns.map((column) => [column.id, column]));
  const known = (ids: readonly string[]): FlowColumn[] => ids.flatMap((id) => byId.get(id) ?? []);
  const metric = curveMetric(table, run, null);
  const hasFailed = table.rows.some(({ status }) => status === "failed");
  const isSearch = table.rows.some((row) => row.standing != null);
  const validation = run?.validation_mode === "grid_search" || run === undefined ? [] : trialColumns(table);
  const different = known([...columnsOf(table.columns, "swept"), ...validation]);
  const state = (isWhole: boolean): FlowColumn[] => known(["experiment_id", "status", ...(hasFailed ? ["error"] : []), "progress", ...(isSearch ? [...(isWhole ? ["rung"] : []), "standing"] : [])]);
  const result = (isWhole: boolean): FlowColumn[] => known([...(metric === null ? [] : [metric, ...(isWhole ? ["curve"] : [])]), "duration_s", ...(run?.status === "running" ? ["left"] : [])]);
  const isWhole = sumOf([...state(true), ...different, ...result(true)], "least") <= room;
  const [before, after] = [state(isWhole), result(isWhole)];
  const numNear = numFitting(different, "least", room - sumOf([...before, ...after], "least"));
  const near = fitted([...before, ...different.slice(0, numNear), ...after], room);
  const first = [...near, ...different.slice(numNear)];
  const others = known([...otherMetrics(table, metric), "steps_per_s", "device"]);
  return [...first, ...others.slice(0, numFitting(others, "width", room - sumOf(first, "width")))];
} // prettier-ignore

/** Gives the metrics beside the one that decides: of validation first, then of the test, of each the losses first. */
function otherMetrics(table: ExperimentTable, metric: string | null): string[] {
  const metrics = columnsOf(table.columns, "metric").filter((key) => key !== metric);
  const isOf = (split: string) => (key: string) => key.startsWith(`${split}/`);
  const isLoss = (key: string): boolean => key.includes("loss");
  const ordered = [...metrics.filter(isLoss), ...metrics];
  return [...new Set([...ordered.filter(isOf("val")), ...ordered.filter(isOf("test")), ...ordered])];
}

/** Gives the facts of validation that tell experiments apart, and are not what their ids say already. */
function trialColumns(table: ExperimentTable): string[] {
  const isId = (key: string): boolean => table.rows.every((row) => valueOf(row, key) === row.experiment_id);
  return columnsOf(table.columns, "trial").filter((key) => new Set(table.rows.map((row) => valueOf(row, key))).size > 1 && !isId(key));
}

/** Gives the metric that curves in rows show: the one sorted by, else the one the run selects by, else the first. */
export function curveMetric(table: ExperimentTable, run: RunDetail | undefined, sortedBy: string | null): string | null {
  const metrics = columnsOf(table.columns, "metric");
  const sorted = sortedBy?.startsWith(LATEST) === true ? sortedBy.slice(LATEST.length) : sortedBy;
  if (sorted !== null && metrics.includes(sorted)) return sorted;
  return run?.selected_metric ?? metrics.find((key) => key.startsWith("val/")) ?? metrics[0] ?? null;
}
