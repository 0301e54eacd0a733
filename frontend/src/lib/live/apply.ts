// Deltas into the query cache: what the pages show changes in place, without asking again.
import type { QueryClient } from "@tanstack/react-query";
import type { ExperimentRow, ExperimentTable, MetricValue, RunDetail } from "@/types/api";
import { withPoints, type CurveSet } from "../curves";
import { numberOf } from "../format";
import type { CurveChoice } from "../hub/queries";
import type { Delta, RowChange } from "./delta";

type Directions = ReadonlyMap<string, "min" | "max">;

/** Brings everything that is shown of a run up to date. */
export function applyDelta(client: QueryClient, delta: Delta): void {
  const { run } = delta;
  if (delta.historyChanged) {
    for (const kind of ["table", "run", "curves", "experiment"]) void client.invalidateQueries({ queryKey: [kind, run] });
    return;
  }
  const before = client.getQueryData<ExperimentTable>(["table", run, null]);
  const after = before === undefined ? undefined : tableAfter(before, delta);
  if (after !== before) client.setQueryData(["table", run, null], after);
  if (before !== undefined && hasNewColumns(before, delta)) void client.invalidateQueries({ queryKey: ["table", run, null] });
  applyToRun(client, delta, after);
  for (const [key] of client.getQueriesData<CurveSet>({ queryKey: ["curves", run, null] })) {
    const { keys, experiments } = key[3] as CurveChoice;
    const [wantedKeys, wanted] = [new Set(keys), experiments === null ? null : new Set(experiments)];
    client.setQueryData<CurveSet>(key, (set) =>
      set === undefined
        ? undefined
        : withPoints(set, delta.points, (metric, id) => wantedKeys.has(metric) && (wanted === null || wanted.has(id))),
    );
  }
  for (const id of delta.detailsChanged) void client.invalidateQueries({ queryKey: ["experiment", run, id] });
}

function applyToRun(client: QueryClient, delta: Delta, table: ExperimentTable | undefined): void {
  if (delta.runChanged) {
    void client.invalidateQueries({ queryKey: ["run", delta.run, null] });
    void client.invalidateQueries({ queryKey: ["runs"] });
    void client.invalidateQueries({ queryKey: ["report", delta.run, null] });
  }
  client.setQueryData<RunDetail>(["run", delta.run, null], (run) => {
    if (run === undefined) return undefined;
    return { ...run, num_events: Math.max(run.num_events, delta.to), at: Math.max(run.at, delta.to),
      last_event_at: delta.lastAt ?? run.last_event_at, counts: table === undefined ? run.counts : countsOf(table, run) };
  }); // prettier-ignore
}

function countsOf(table: ExperimentTable, run: RunDetail): RunDetail["counts"] {
  const counts = { waiting: 0, running: 0, done: 0, failed: 0, interrupted: 0 };
  for (const row of table.rows) counts[row.status] += 1;
  counts.waiting += Math.max(0, run.num_experiments - table.rows.length);
  return counts;
}

/** Gives the table with what changed; rows that did not change stay the same objects. */
export function tableAfter(table: ExperimentTable, delta: Delta): ExperimentTable {
  if (delta.to <= table.at || delta.rows.length === 0) return delta.to > table.at ? { ...table, at: delta.to } : table;
  const changes = new Map(delta.rows.map((change) => [change.experimentId, change]));
  const directions: Directions = new Map(
    table.columns.flatMap((column) => (column.direction == null ? [] : [[column.key, column.direction] as const])),
  );
  const rows = table.rows.map((row) => {
    const change = changes.get(row.experiment_id);
    changes.delete(row.experiment_id);
    return change === undefined ? row : rowAfter(row, change, directions);
  });
  for (const change of changes.values()) rows.push(rowAfter(emptyRow(change.experimentId), change, directions));
  if (changes.size > 0) rows.sort((a, b) => a.experiment_id - b.experiment_id);
  const added = changes.size;
  return { ...table, at: delta.to, rows, total: table.total + added, num_all: table.num_all + added };
}

function hasNewColumns(table: ExperimentTable, delta: Delta): boolean {
  const known = new Set(table.columns.map(({ key }) => key));
  return delta.rows.some(
    ({ values, fields }) =>
      Object.keys(values).some((key) => !known.has(key)) || Object.keys(fields.swept ?? {}).some((key) => !known.has(key)),
  );
}

function rowAfter(row: ExperimentRow, change: RowChange, directions: Directions): ExperimentRow {
  const [latest, best] = [{ ...row.latest }, { ...row.best }];
  for (const [key, values] of Object.entries(change.values)) {
    for (const value of values) {
      latest[key] = value;
      const better = betterOf(best[key], value, directions.get(key));
      if (better !== undefined) best[key] = better;
    }
  }
  return { ...row, ...change.fields, latest, best };
}

function betterOf(best: MetricValue | undefined, value: MetricValue, direction: "min" | "max" | undefined): MetricValue | undefined {
  const [old, found] = [numberOf(best), numberOf(value)];
  if (direction === undefined || found === null || Number.isNaN(found)) return best;
  if (old === null || Number.isNaN(old)) return value;
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
    finished_at: null,
    duration_s: null,
    steps_per_s: null,
    rss_bytes: null,
    num_checkpoints: 0,
    verdict: null,
  };
}
