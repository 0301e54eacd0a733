// A table of any size: only the rows and columns that are in sight exist. The model of columns (order, pins, widths) is
// TanStack Table's, the window onto it TanStack Virtual's; what is here is the picture and the keyboard.
import { IconChevronRight } from "@tabler/icons-react";
import { useTable, type Column, type ColumnDef } from "@tanstack/react-table";
import { useElementSize, useMergedRef } from "@mantine/hooks";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useCallback, useEffect, useId, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { keepPlace, placeOf } from "@/lib/places";
import { numFitting, sumOf } from "./fit";
import { features, type GridColumn, type GridFeatures, type GridSort } from "./columns";
import classes from "./DataGrid.module.css";
import { HeaderCell } from "./HeaderCell";

interface Props<T> {
  readonly label: string;
  readonly rows: readonly T[];
  readonly columns: readonly GridColumn<T>[];
  readonly keyOf: (row: T) => string;
  readonly sort: GridSort | null;
  readonly onSort: (column: string) => void;
  readonly onOpen?: (row: T) => void;
  readonly onToggle?: (row: T) => void;
  /** Unfolds a row or folds it, by the right and the left arrow, and says whether it could. */
  readonly onFold?: (row: T, isToOpen: boolean) => boolean;
  readonly isSelected?: (row: T) => boolean;
  readonly kindOf?: (row: T) => string | undefined;
  /** Rows that are one piece over all columns, such as what is unfolded below a row. */
  readonly wholeRow?: (row: T) => ReactNode | null;
  /** Under which name it is remembered where the table was scrolled to. */
  readonly place: string;
}

const ROW_HEIGHT = 32;
const OVERSCAN = 8;

export function DataGrid<T extends object>(props: Props<T>): ReactNode {
  const { rows, columns, keyOf } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const idPrefix = useId();
  const { ref: measured, width } = useElementSize();
  const box = useMergedRef(scroller, measured);
  const definitions = useMemo(() => definitionsOf(columns, width), [columns, width]);
  const byId = useMemo(() => new Map(columns.map((column) => [column.id, column])), [columns]);
  const pinned = useMemo(() => columns.filter((column) => column.isPinned).map(({ id }) => id), [columns]);
  const order = useMemo(() => columns.map(({ id }) => id), [columns]);
  const table = useTable({
    features,
    columns: definitions,
    data: NO_ROWS,
    columnResizeMode: "onChange",
    state: { columnOrder: order, columnPinning: { start: pinned, end: NO_IDS } },
  });
  const fixed = table.getStartVisibleLeafColumns();
  const moving = table.getCenterVisibleLeafColumns();
  const fixedWidth = table.getStartTotalSize();

  const [before] = useState(() => placeOf(props.place));
  const rowWindow = useVirtualizer({
    initialOffset: before.top,
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    getItemKey: (index) => (rows[index] === undefined ? index : keyOf(rows[index])),
    overscan: OVERSCAN,
    // The head covers as much: a row that is gone to by keys stands above the lower edge, not below it.
    scrollPaddingEnd: ROW_HEIGHT,
  });
  const columnWindow = useVirtualizer({
    horizontal: true,
    initialOffset: before.left,
    count: moving.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => moving[index]?.getSize() ?? 80,
    getItemKey: (index) => moving[index]?.id ?? index,
    paddingStart: fixedWidth,
    overscan: 3,
  });
  const sizes = moving.map((column) => ({ width: column.getSize() }));
  const widths = sizes.map(({ width: px }) => px).join(",");
  useEffect(() => {
    columnWindow.measure();
  }, [columnWindow, widths, fixedWidth]);

  const shown = columnWindow.getVirtualItems();
  const gap = (shown[0]?.start ?? fixedWidth) - fixedWidth;
  const inSight = shown.flatMap((item) => moving[item.index] ?? []);
  const isWhole = (index: number): boolean => rows[index] !== undefined && (props.wholeRow?.(rows[index]) ?? null) !== null;

  const shownIds = inSight.map(({ id }) => id).join(",");
  // Rows are drawn again when they or the columns change, not whenever the table is scrolled.
  const layout = useMemo(
    (): Layout<T> => ({
      fixed: fixed.flatMap((column) => placed(column, byId, column.getStart("start"))),
      gap,
      moving: inSight.flatMap((column) => placed(column, byId)),
    }),
    // The columns of the table are the same objects as long as their definitions are; what moves is named here.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [byId, shownIds, widths, fixedWidth, gap],
  );
  const latest = useRef(props);
  useEffect(() => {
    latest.current = props;
  });
  const onOpen = useCallback((row: T, index: number): void => {
    setActive(index);
    latest.current.onOpen?.(row);
  }, []);

  const move = (by: number): void => {
    let next = Math.min(rows.length - 1, Math.max(0, active + by));
    while (isWhole(next) && next > 0 && next < rows.length - 1) next += Math.sign(by);
    setActive(next);
    rowWindow.scrollToIndex(next);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.target !== scroller.current) return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -rows.length, End: rows.length }[event.key];
    const row = rows[active];
    if (step !== undefined) move(step);
    else if (event.key === "Enter" && row !== undefined) props.onOpen?.(row);
    else if (event.key === " " && row !== undefined) props.onToggle?.(row);
    else if (row === undefined || !isFoldKey(event.key) || props.onFold?.(row, event.key === "ArrowRight") !== true) return;
    event.preventDefault();
  };

  const scrolled = columnWindow.scrollOffset ?? 0;
  const beyond = width === 0 ? [] : moving.slice(numFitting(sizes, "width", scrolled + width - fixedWidth + CUT_PX));
  // What says that there is more stands over the lower edge: the last row can be scrolled to above it.
  const height = rowWindow.getTotalSize() + (beyond.length === 0 ? 1 : 2) * ROW_HEIGHT;
  return (
    <div className={classes.frame}>
      <div
        ref={box}
        className={classes.scroller}
        role="grid"
        tabIndex={0}
        aria-label={props.label}
        aria-rowcount={rows.length + 1}
        aria-colcount={columns.length}
        aria-multiselectable={props.onToggle !== undefined}
        aria-activedescendant={rows.length > 0 ? `${idPrefix}-${active}` : undefined}
        onKeyDown={onKey}
        onScroll={(event) => keepPlace(props.place, event.currentTarget)}
      >
        <div className={classes.sizer} style={{ width: table.getTotalSize(), height }}>
          <div className={classes.head} role="row" aria-rowindex={1}>
            {fixed.map((column) => (
              <HeaderCell key={column.id} column={column} of={byId.get(column.id)} sort={props.sort} onSort={props.onSort} left={column.getStart("start")} />
            ))}
            <span className={classes.gap} style={{ width: gap }} role="presentation" />
            {inSight.map((column) => (
              <HeaderCell key={column.id} column={column} of={byId.get(column.id)} sort={props.sort} onSort={props.onSort} />
            ))}
          </div>
          {rowWindow.getVirtualItems().map((item) => {
            const row = rows[item.index];
            if (row === undefined) return null;
            const whole = props.wholeRow?.(row) ?? null;
            return (
              <GridRow
                key={item.key}
                id={`${idPrefix}-${item.index}`}
                index={item.index}
                top={item.start + ROW_HEIGHT}
                row={row}
                whole={whole}
                measure={rowWindow.measureElement}
                isSelected={props.isSelected?.(row) ?? false}
                isActive={item.index === active}
                kind={props.kindOf?.(row)}
                layout={layout}
                onOpen={onOpen}
              />
            );
          })}
        </div>
      </div>
      {beyond.length === 0 ? null : (
        <Beyond titles={beyond.map(({ id }) => byId.get(id)?.title ?? id)} onClick={() => scroller.current?.scrollBy({ left: width - fixedWidth - EDGE_PX })} />
      )}
    </div>
  );
}

/** How much of what was in sight still is when the table was moved by a page, in px. */
const EDGE_PX = 120;
/** A column whose last pixels are cut still shows everything. */
const CUT_PX = 8;

/** Says which columns there are beyond the right edge, and brings them into sight. */
function Beyond({ titles, onClick }: { readonly titles: readonly string[]; readonly onClick: () => void }): ReactNode {
  const shown = titles.slice(0, MAX_TITLES).join(", ");
  return (
    <button type="button" className={classes.beyond} title={`to the right: ${shown}${titles.length > MAX_TITLES ? " …" : ""}`} onClick={onClick}>
      {titles.length} more <IconChevronRight aria-hidden />
    </button>
  );
}

const MAX_TITLES = 12;

function definitionsOf<T extends object>(columns: readonly GridColumn<T>[], width: number): ColumnDef<GridFeatures, T>[] {
  const left = Math.max(0, width - sumOf(columns, "width"));
  const wide = columns.filter((column) => column.isWide).length;
  return columns.map((column) => ({
    id: column.id,
    size: column.width + (column.isWide ? Math.floor(left / wide) : 0),
    minSize: 44,
    header: column.title,
  }));
}

const NO_ROWS: never[] = [];
const NO_IDS: string[] = [];

const isFoldKey = (key: string): boolean => key === "ArrowRight" || key === "ArrowLeft";

const isControl = (target: EventTarget): boolean => target instanceof Element && target.closest("button, input, a, label") !== null;

interface Placed<T extends object> {
  readonly of: GridColumn<T>;
  readonly width: number;
  readonly left?: number;
}

interface Layout<T extends object> {
  readonly fixed: readonly Placed<T>[];
  readonly gap: number;
  readonly moving: readonly Placed<T>[];
}

function placed<T extends object>(column: Column<GridFeatures, T>, byId: ReadonlyMap<string, GridColumn<T>>, left?: number): Placed<T>[] {
  const of = byId.get(column.id);
  return of === undefined ? [] : [{ of, width: column.getSize(), ...(left === undefined ? {} : { left }) }];
}

interface RowProps<T extends object> {
  readonly id: string;
  readonly index: number;
  readonly top: number;
  readonly row: T;
  readonly whole: ReactNode;
  readonly measure: (element: HTMLElement | null) => void;
  readonly isSelected: boolean;
  readonly isActive: boolean;
  readonly kind: string | undefined;
  readonly layout: Layout<T>;
  readonly onOpen: (row: T, index: number) => void;
}

function Row<T extends object>({ id, index, top, row, whole, measure, isSelected, isActive, kind, layout, onOpen }: RowProps<T>): ReactNode {
  return (
    <div
      id={id}
      ref={whole === null ? undefined : measure}
      data-index={index}
      className={whole === null ? classes.row : classes.whole}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isSelected}
      data-kind={kind}
      data-active={isActive}
      style={{ transform: `translateY(${top}px)` }}
      onClick={(event) => {
        if (whole === null && !isControl(event.target)) onOpen(row, index);
      }}
    >
      {whole !== null ? (
        <div role="gridcell" className={classes.wholeCell}>
          {whole}
        </div>
      ) : (
        <>
          {layout.fixed.map((cell) => (
            <Cell key={cell.of.id} cell={cell} row={row} />
          ))}
          <span className={classes.gap} style={{ width: layout.gap }} role="presentation" />
          {layout.moving.map((cell) => (
            <Cell key={cell.of.id} cell={cell} row={row} />
          ))}
        </>
      )}
    </div>
  );
}

// `memo` forgets that the component is generic.
const GridRow = memo(Row) as typeof Row;

function Cell<T extends object>({ cell: { of, width, left }, row }: { readonly cell: Placed<T>; readonly row: T }): ReactNode {
  return (
    <div role="gridcell" className={classes.cell} data-number={of.isNumber} data-pinned={left !== undefined} style={{ width, left, background: of.background?.(row) }}>
      {of.render(row)}
    </div>
  );
}
