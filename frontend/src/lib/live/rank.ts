// The order of the experiments by what the run selects by, as the hub has it: for what came since it was asked.
import { numberOf } from "../format";
import type { ExperimentRow, ExperimentTable, RunDetail } from "@/types/api";
import type { Delta } from "./delta";

export interface Deciding {
  readonly metric: string;
  readonly isLow: boolean;
  /** Whether the last value counts, and not the best one. */
  readonly isLast: boolean;
}

/** Gives what decides; null where nothing was measured yet. */
export function decidingOf(run: RunDetail | undefined, table: ExperimentTable): Deciding | null {
  const metric = run?.selected_metric ?? null;
  const direction = table.columns.find(({ key }) => key === metric)?.direction;
  if (metric === null || direction == null) return null;
  const select = run?.validation.select as { readonly metric?: unknown; readonly at?: unknown } | null | undefined;
  return { metric, isLow: direction === "min", isLast: select?.metric === metric && select.at === "last" };
}

/** Tells whether ranks can be others after a delta. */
export const changesRanks = ({ rows }: Delta, { metric }: Deciding): boolean => rows.some(({ fields, values }) => fields.status !== undefined || metric in values);

/** Gives the rows with their ranks from 1, of equals the lower id first; failed ones and those without a finite value have none. */
export function ranked(rows: readonly ExperimentRow[], { metric, isLow, isLast }: Deciding): ExperimentRow[] {
  const scored = rows.flatMap((row) => {
    const value = row.status === "failed" ? null : numberOf((isLast ? row.latest : row.best)[metric]);
    return value === null || !Number.isFinite(value) ? [] : [[isLow ? value : -value, row.experiment_id] as const];
  });
  scored.sort(([a, idA], [b, idB]) => a - b || idA - idB);
  const places = new Map(scored.map(([, id], i) => [id, i + 1]));
  return rows.map((row) => {
    const rank = places.get(row.experiment_id) ?? null;
    return rank === row.rank ? row : { ...row, rank };
  });
}
