// The rows of the table as they stand below each other: experiments, groups with what they have in common, and what is
// unfolded below a row.
import { formatValue } from "@/lib/format";
import { compareValues, valueOf, type Value } from "@/lib/rowValues";
import { spreadOf, type Spread } from "@/lib/statistics";
import type { ExperimentRow } from "@/types/api";

export interface ExperimentItem {
  readonly kind: "experiment";
  readonly key: string;
  readonly row: ExperimentRow;
  readonly isInGroup: boolean;
}

export interface GroupItem {
  readonly kind: "group";
  readonly key: string;
  readonly names: readonly (readonly [key: string, value: string])[];
  readonly members: readonly ExperimentRow[];
  readonly isOpen: boolean;
  /** Mean and spread by column, made when it is first asked for. */
  readonly spread: (column: string) => Spread | null;
}

export interface FailureItem {
  readonly kind: "failure";
  readonly key: string;
  readonly row: ExperimentRow;
}

export type Item = ExperimentItem | GroupItem | FailureItem;

/** Tells whether something can be unfolded below an item. */
export const canUnfold = (item: Item): boolean => item.kind === "group" || (item.kind === "experiment" && item.row.status === "failed");

const experimentItem = (row: ExperimentRow, isInGroup: boolean): ExperimentItem => ({ kind: "experiment", key: String(row.experiment_id), row, isInGroup });

function withFailure(row: ExperimentRow, isInGroup: boolean, unfolded: ReadonlySet<string>): Item[] {
  const item = experimentItem(row, isInGroup);
  if (!unfolded.has(item.key)) return [item];
  return [item, { kind: "failure", key: `failure ${row.experiment_id}`, row }];
}

/** Gives the items of rows that are sorted already. */
export function flatItems(rows: readonly ExperimentRow[], unfolded: ReadonlySet<string>): Item[] {
  return rows.flatMap((row) => withFailure(row, false, unfolded));
}

/** Gives groups by one or more columns, sorted by the mean of the column that the rows are sorted by. */
export function groupedItems(rows: readonly ExperimentRow[], by: readonly string[], sort: { readonly column: string; readonly isDescending: boolean } | null, unfolded: ReadonlySet<string>): Item[] {
  const groups = new Map<string, ExperimentRow[]>();
  for (const row of rows) {
    const key = by.map((column) => formatValue(valueOf(row, column))).join(" · ");
    const members = groups.get(key);
    if (members === undefined) groups.set(key, [row]);
    else members.push(row);
  }
  const items = [...groups].map(([key, members]) => groupItem(key, by, members, unfolded));
  if (sort !== null) items.sort((a, b) => compareValues(sortValue(a, sort.column), sortValue(b, sort.column), sort.isDescending));
  return items.flatMap((group): Item[] => [group, ...(group.isOpen ? group.members.flatMap((row) => withFailure(row, true, unfolded)) : [])]);
}

function groupItem(key: string, by: readonly string[], members: readonly ExperimentRow[], unfolded: ReadonlySet<string>): GroupItem {
  const first = members[0];
  const spreads = new Map<string, Spread | null>();
  return {
    kind: "group",
    key: `group ${key}`,
    names: by.map((column) => [column, first === undefined ? "" : formatValue(valueOf(first, column))] as const),
    members,
    isOpen: unfolded.has(`group ${key}`),
    spread: (column) => {
      let spread = spreads.get(column);
      if (spread === undefined) {
        spread = spreadOf(members.map((row) => asNumber(valueOf(row, column))));
        spreads.set(column, spread);
      }
      return spread;
    },
  };
}

function sortValue(group: GroupItem, column: string): Value {
  const first = group.members[0];
  return group.spread(column)?.mean ?? (first === undefined ? null : valueOf(first, column));
}

/** Gives the groups as a table with a header: what they have in common, how many they are, mean and sd of metrics. */
export function groupTable(items: readonly Item[], by: readonly string[], metrics: readonly string[]): (string | number | null)[][] {
  const groups = items.filter((item) => item.kind === "group");
  const header = [...by, "n", ...metrics.flatMap((key) => [`${key} mean`, `${key} sd`])];
  return [header, ...groups.map(({ names, members, spread }) => [
    ...names.map(([, value]) => value), members.length, ...metrics.flatMap((key) => [spread(key)?.mean ?? null, spread(key)?.sd ?? null]),
  ])]; // prettier-ignore
}

const asNumber = (value: Value): number | null => (typeof value === "number" ? value : null);

/** Gives failed rows by what failed: numbers and addresses that differ from case to case do not make another cause. */
export function causesOf(rows: readonly ExperimentRow[]): ReadonlyMap<string, readonly ExperimentRow[]> {
  const causes = new Map<string, ExperimentRow[]>();
  for (const row of rows) {
    if (row.status !== "failed") continue;
    const cause = causeOf(row);
    causes.set(cause, [...(causes.get(cause) ?? []), row]);
  }
  return causes;
}

export function causeOf(row: ExperimentRow): string {
  const text = row.error ?? row.exit_signal ?? "failed";
  return text.replace(/0x[0-9a-f]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?/gi, "N").trim();
}
