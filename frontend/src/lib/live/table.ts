// The table of experiments after a delta; what the hub's fold does with a row, done here for what came since.
import type { ExperimentRow, ExperimentTable, MetricValue } from "@/types/api";
import { numberOf } from "../format";
import type { Delta, JobChange, RowChange } from "./delta";

type Directions = ReadonlyMap<string, "min" | "max">;

/** Gives the table with what changed; rows that did not change stay the same objects. */
export function tableAfter(table: ExperimentTable, delta: Delta): ExperimentTable {
  if (delta.to <= table.at) return table;
  if (delta.rows.length === 0 && delta.trials.length === 0) return { ...table, at: delta.to };
  const changes = new Map(delta.rows.map((change) => [change.experimentId, change]));
  const directions: Directions = new Map(
    table.columns.flatMap((column) => (column.direction == null ? [] : [[column.key, column.direction] as const])),
  );
  const rows = table.rows.map((row) => {
    const change = changes.get(row.experiment_id);
    changes.delete(row.experiment_id);
    return change === undefined ? row : rowAfter(row, change, directions, table.at);
  });
  for (const change of changes.values()) rows.push(rowAfter(emptyRow(change.experimentId), change, directions, table.at));
  applyTrials(rows, delta);
  if (changes.size > 0) rows.sort((a, b) => a.experiment_id - b.experiment_id);
  const added = changes.size;
  return { ...table, at: delta.to, rows, total: table.total + added, num_all: table.num_all + added };
}

/** Brings rows up to date with what was said of their trials; several seeds are one trial. */
function applyTrials(rows: ExperimentRow[], { trials }: Delta): void {
  if (trials.length === 0) return;
  const byTrial = new Map(trials.map((change) => [change.trial, change]));
  rows.forEach((row, i) => {
    const change = byTrial.get(row.trial.configuration as number);
    if (change === undefined) return;
    const standing = change.standing === "complete" && row.stop_reason !== null ? "stopped early" : change.standing;
    rows[i] = { ...row, standing, rung: change.rung === undefined ? (row.rung ?? null) : change.rung, decision: change.decision ?? row.decision ?? null };
  });
}

/** Tells whether a delta has metrics or parameters that the table does not know. */
export function hasNewColumns(table: ExperimentTable, delta: Delta): boolean {
  const known = new Set(table.columns.map(({ key }) => key));
  return delta.rows.some(
    ({ values, fields }) =>
      Object.keys(values).some((key) => !known.has(key)) || Object.keys(fields.swept ?? {}).some((key) => !known.has(key)),
  );
}

/** Gives the row with what changed. What adds up is taken from events only that the table does not have yet. */
function rowAfter(row: ExperimentRow, change: RowChange, directions: Directions, from: number): ExperimentRow {
  const [latest, best] = [{ ...row.latest }, { ...row.best }];
  for (const [key, values] of Object.entries(change.values)) {
    for (const value of values) {
      latest[key] = value;
      const better = betterOf(best[key], value, directions.get(key));
      if (better !== undefined) best[key] = better;
    }
  }
  const isNew = ({ eventId }: { readonly eventId: number }): boolean => eventId >= from;
  const timed = change.jobs.filter(isNew).reduce(timedAfter, row);
  const num = change.checkpoints.filter(isNew).reduce((sum, { by }) => sum + by, row.num_checkpoints);
  return { ...timed, ...change.fields, num_checkpoints: Math.max(0, num), latest, best };
}

/** Gives the row with the time of all its attempts: that of one before is put aside when the next begins. */
function timedAfter(row: ExperimentRow, { times }: JobChange): ExperimentRow {
  const after = { ...row, ...times };
  const [began, ended] = [row.attempt_started_at, row.finished_at ?? after.attempt_started_at];
  if (began !== null && ended !== null && after.attempt_started_at !== began) after.earlier_s += Math.max(0, ended - began);
  after.started_at ??= after.attempt_started_at;
  if (after.finished_at !== null && after.attempt_started_at !== null) after.duration_s = after.earlier_s + Math.max(0, after.finished_at - after.attempt_started_at);
  return after;
}

function betterOf(best: MetricValue | undefined, value: MetricValue, direction: "min" | "max" | undefined): MetricValue | undefined {
  const [old, found] = [numberOf(best), numberOf(value)];
  if (direction === undefined || found === null || !Number.isFinite(found)) return best;
  if (old === null || !Number.isFinite(old)) return value;
  return (direction === "min" ? found < old : found > old) ? value : best;
}

function emptyRow(experimentId: number): ExperimentRow {
  return {
    experiment_id: experimentId,
    status: "waiting",
    swept: {},
    trial: {},
    latest: {},
    best: {},
    rank: null,
    progress: null,
    device: null,
    attempt: 0,
    error: null,
    exit_signal: null,
    stop_reason: null,
    started_at: null,
    attempt_started_at: null,
    finished_at: null,
    duration_s: null,
    earlier_s: 0,
    steps_per_s: null,
    rss_bytes: null,
    num_checkpoints: 0,
    verdict: null,
    rung: null,
    standing: null,
    decision: null,
  };
}
