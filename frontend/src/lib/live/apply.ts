// Deltas into the query cache: what the pages show changes in place, without asking again.
import type { QueryClient } from "@tanstack/react-query";
import type { ExperimentTable, RunDetail } from "@/types/api";
import { isWanted, withPoints, type CurveChoice, type CurveSet } from "../curves";
import type { Delta } from "./delta";
import { changesRanks, decidingOf, ranked } from "./rank";
import { hasNewColumns, tableAfter } from "./table";

/** Brings everything that is shown of a run up to date. */
export function applyDelta(client: QueryClient, delta: Delta): void {
  const { run } = delta;
  if (delta.historyChanged) {
    for (const kind of ["table", "run", "curves", "experiment"]) void client.invalidateQueries({ queryKey: [kind, run] });
    return;
  }
  const before = client.getQueryData<ExperimentTable>(["table", run, null]);
  const after = before === undefined ? undefined : rankedAfter(before, delta, client.getQueryData<RunDetail>(["run", run, null]));
  if (after !== before) client.setQueryData(["table", run, null], after);
  // The first metric may be what the run selects by, which the run says.
  if (before !== undefined && hasNewColumns(before, delta)) {
    for (const kind of ["table", "run"]) void client.invalidateQueries({ queryKey: [kind, run, null] });
  }
  applyToRun(client, delta, after);
  for (const [key] of client.getQueriesData<CurveSet>({ queryKey: ["curves", run, null] })) {
    const wanted = isWanted(key[3] as CurveChoice);
    client.setQueryData<CurveSet>(key, (set) => (set === undefined ? undefined : withPoints(set, delta.points, wanted)));
  }
  for (const id of delta.detailsChanged) void client.invalidateQueries({ queryKey: ["experiment", run, id] });
}

function rankedAfter(before: ExperimentTable, delta: Delta, run: RunDetail | undefined): ExperimentTable {
  const after = tableAfter(before, delta);
  const deciding = after === before ? null : decidingOf(run, after);
  return deciding === null || !changesRanks(delta, deciding) ? after : { ...after, rows: ranked(after.rows, deciding) };
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
