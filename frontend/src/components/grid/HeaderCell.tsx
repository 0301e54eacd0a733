// The head of a column: its title sorts, its edge changes the width.
import type { Column } from "@tanstack/react-table";
import { IconArrowDown, IconArrowUp } from "@tabler/icons-react";
import type { PointerEvent, ReactNode } from "react";
import type { GridColumn, GridFeatures, GridSort } from "./columns";
import classes from "./DataGrid.module.css";

interface Props<T extends object> {
  readonly column: Column<GridFeatures, T>;
  readonly of: GridColumn<T> | undefined;
  readonly sort: GridSort | null;
  readonly onSort: (column: string) => void;
  readonly left?: number;
}

export function HeaderCell<T extends object>({ column, of, sort, onSort, left }: Props<T>): ReactNode {
  if (of === undefined) return null;
  const isSorted = sort?.column === column.id;
  const order = isSorted ? (sort.isDescending ? "descending" : "ascending") : "none";
  const words = (
    <span className={classes.title}>
      <span>{of.title}</span>
      {of.note === undefined ? null : <> <small>{of.note}</small></>}
    </span>
  );
  return (
    <div
      role="columnheader"
      className={classes.headCell}
      aria-sort={of.isSortable === false ? undefined : order}
      data-number={of.isNumber}
      data-pinned={left !== undefined}
      style={{ width: column.getSize(), left }}
      title={of.hint ?? of.title}
    >
      {of.isSortable === false ? (
        words
      ) : (
        <button type="button" tabIndex={-1} className={classes.sort} onClick={() => onSort(column.id)}>
          {words}
          {isSorted ? sort.isDescending ? <IconArrowDown aria-hidden /> : <IconArrowUp aria-hidden /> : null}
        </button>
      )}
      <span className={classes.edge} role="presentation" onPointerDown={(event) => resize(event, column)} />
    </div>
  );
}

function resize<T extends object>(start: PointerEvent, column: Column<GridFeatures, T>): void {
  start.preventDefault();
  const [from, width] = [start.clientX, column.getSize()];
  const onMove = (event: globalThis.PointerEvent): void => {
    const size = Math.max(44, width + event.clientX - from);
    column.table.setColumnSizing((sizes) => ({ ...sizes, [column.id]: size }));
  };
  const onUp = (): void => {
    window.removeEventListener("pointermove", onMove);
    window.removeEventListener("pointerup", onUp);
  };
  window.addEventListener("pointermove", onMove);
  window.addEventListener("pointerup", onUp);
}
