// A list of runs after some of them changed: in the hub's order, without asking for the others.
import type { RunList, RunListQuery, RunSummary } from "@/types/api";
import { numberOf } from "./format";

/** Tells whether a list is all that matches, so that those that changed can be put in their place. */
export function canMerge(list: RunList | undefined, query: RunListQuery): list is RunList {
  return list !== undefined && list.total === list.runs.length && query.trash !== true;
}

/** Gives the list with what was found of the runs that changed; those that were not found do not match any more. */
export function merged(list: RunList, changed: readonly string[], found: RunList, query: RunListQuery): RunList {
  const before = new Set(changed);
  const runs = [...list.runs.filter((run) => !before.has(run.run_id)), ...found.runs];
  const sign = query.order === "asc" ? 1 : -1;
  const keyed = runs.map((run) => [keyOf(run, query.sort ?? "created_at"), run] as const);
  keyed.sort(([a, one], [b, other]) => {
    // Those without a value come last, whichever way.
    if (a === null || b === null) return a === b ? compared(one.run_id, other.run_id) : a === null ? 1 : -1;
    return sign * (compared(a, b) || compared(one.run_id, other.run_id));
  });
  return { total: runs.length, runs: keyed.map(([, run]) => run) };
}

type Key = string | number;

function keyOf(run: RunSummary, sort: string): Key | null {
  if (sort in run) {
    const value = run[sort as keyof RunSummary];
    return typeof value === "string" ? value.toLowerCase() : typeof value === "number" ? value : null;
  }
  return numberOf(run.metrics.find(({ key }) => key === sort)?.best);
}

const compared = (a: Key, b: Key): number => (a < b ? -1 : a > b ? 1 : 0);
