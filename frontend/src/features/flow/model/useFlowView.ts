// What the address says about the table: filter, sorting, groups, columns; with the rows that come of it.
import { useMemo } from "react";
import { fitted } from "@/components/grid/fit";
import { filterOf, type RowTest } from "@/lib/filter/filter";
import { shortKeys } from "@/lib/format";
import { joinNames, splitNames } from "@/lib/lists";
import { columnsOf, sortRows } from "@/lib/rowValues";
import { isShown, useSelection } from "@/lib/selection";
import { changeView, useParameter } from "@/lib/url";
import type { ExperimentRow, ExperimentTable, RunDetail } from "@/types/api";
import { allColumns, firstColumns, type FlowColumn } from "./columns";
import { flatItems, groupedItems, type Item } from "./items";

export interface FlowView {
  readonly filterText: string;
  readonly filterProblem: string | null;
  readonly rows: readonly ExperimentRow[];
  readonly items: readonly Item[];
  /** All there can be; `shown` has those of the table, in its order and as wide as there is room for. */
  readonly columns: readonly FlowColumn[];
  readonly shown: readonly FlowColumn[];
  readonly pinned: readonly string[];
  readonly groupBy: readonly string[];
  readonly sort: { readonly column: string; readonly isDescending: boolean } | null;
  readonly isHeated: boolean;
  /** Whether there are rows that can be unfolded: failed ones and groups. */
  readonly isFoldable: boolean;
  readonly unfolded: ReadonlySet<string>;
}

/** Gives the view for a table that has so many px. */
export function useFlowView(table: ExperimentTable, run: RunDetail | undefined, room: number): FlowView {
  const [filterText] = useParameter("filter");
  const [sortText] = useParameter("sort");
  const [groupText] = useParameter("group");
  const [columnText] = useParameter("cols");
  const [pinText] = useParameter("pins");
  const [heat] = useParameter("heat");
  const [openText] = useParameter("open");
  const selection = useSelection();

  const short = useMemo(() => shortKeys(columnsOf(table.columns, "swept")), [table.columns]);
  const isRunning = run?.status === "running";
  const filter = useMemo(() => testOf(filterText ?? "", table), [filterText, table]);
  const sort = useMemo(() => sortOf(sortText), [sortText]);
  const groupBy = useMemo(() => splitNames(groupText), [groupText]);
  const isFoldable = groupBy.length > 0 || table.rows.some(({ status }) => status === "failed");
  const columns = useMemo(() => allColumns(table, short, { isRunning, isFoldable }), [table, short, isRunning, isFoldable]);
  const unfolded = useMemo(() => new Set(splitNames(openText)), [openText]);
  const rows = useMemo(() => {
    const kept = table.rows.filter((row) => isShown(selection, row.experiment_id) && (filter.test?.(row) ?? true));
    return sort === null ? kept : sortRows(kept, sort.column, sort.isDescending);
  }, [table.rows, selection, filter, sort]);
  const items = useMemo(
    () => (groupBy.length === 0 ? flatItems(rows, unfolded) : groupedItems(rows, groupBy, sort, unfolded)),
    [rows, groupBy, sort, unfolded],
  );
  const shown = useMemo(() => {
    const byId = new Map(columns.map((column) => [column.id, column]));
    const chosen = splitNames(columnText).flatMap((id) => byId.get(id) ?? []);
    return chosen.length > 0 ? fitted(chosen, room) : firstColumns(table, run, columns, room);
  }, [columns, columnText, table, run, room]);
  return {
    filterText: filterText ?? "",
    filterProblem: filter.problem,
    rows,
    items,
    columns,
    shown,
    pinned: pinText === null ? ["experiment_id", "status"] : splitNames(pinText),
    groupBy,
    sort,
    isHeated: heat === "1",
    isFoldable,
    unfolded,
  };
}

function testOf(text: string, table: ExperimentTable): { readonly test: RowTest | null; readonly problem: string | null } {
  try {
    return { test: filterOf(text, table.columns), problem: null };
  } catch (error) {
    // What is half typed shows everything, with what is missing beside it.
    return { test: null, problem: error instanceof Error ? error.message : String(error) };
  }
}

function sortOf(text: string | null): FlowView["sort"] {
  if (text === null || text === "") return null;
  return text.startsWith("-") ? { column: text.slice(1), isDescending: true } : { column: text, isDescending: false };
}

/** Sorts by a column so that the good end is up; null for the order of the run. */
export function sortFirst(view: FlowView, column: string | null): void {
  const isGoodFirst = view.columns.find(({ id }) => id === column)?.direction === "max";
  changeView({ sort: column === null ? null : (isGoodFirst ? "-" : "") + column }, { replace: true });
}

/** Sorts by a column: first so that the good end is up, then the other way, then no more. */
export function sortBy(view: FlowView, column: string): void {
  const isGoodFirst = view.columns.find(({ id }) => id === column)?.direction === "max";
  const order = [isGoodFirst ? `-${column}` : column, isGoodFirst ? column : `-${column}`, null];
  const current = view.sort === null ? null : (view.sort.isDescending ? "-" : "") + view.sort.column;
  const next = view.sort?.column === column ? order[order.indexOf(current) + 1] : order[0];
  changeView({ sort: next ?? null }, { replace: true });
}

export function toggleUnfolded(view: FlowView, key: string): void {
  const keys = new Set(view.unfolded);
  if (!keys.delete(key)) keys.add(key);
  changeView({ open: joinNames([...keys]) }, { replace: true });
}
