// What is happening, and what went wrong: the table of experiments.
import { IconCheckbox, IconFlame } from "@tabler/icons-react";
import { useMediaQuery } from "@mantine/hooks";
import { useMemo, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { TextField } from "@/components/Field";
import { DataGrid } from "@/components/grid/DataGrid";
import { useRoom } from "@/components/grid/fit";
import { Notice, Problem, Waiting } from "@/components/Notice";
import { useNow } from "@/lib/clock";
import { countOf, formatCount } from "@/lib/format";
import { useAt, useCurves, useRun, useTable } from "@/lib/hub/queries";
import { useScheme } from "@/lib/scheme";
import { toggleAll, toggleSelected, useSelection } from "@/lib/selection";
import { changeView, toPage } from "@/lib/url";
import type { ExperimentRow, ExperimentTable, RunDetail } from "@/types/api";
import { curveMetric } from "../model/columns";
import { canUnfold, causeOf, causesOf, type Item } from "../model/items";
import { sortBy, toggleUnfolded, useFlowView, type FlowView } from "../model/useFlowView";
import { useHeldOrder } from "../model/useHeldOrder";
import { ColumnChoice, Download, GroupChoice, SortChoice } from "./Choices";
import { Failure } from "./Failure";
import classes from "./Flow.module.css";
import { FlowList } from "./FlowList";
import { gridColumns, idsOf } from "./gridColumns";

const SPARK_POINTS = 48;

export function FlowPage({ run }: { readonly run: string }): ReactNode {
  const { data: table, error, refetch } = useTable(run);
  const { data: detail } = useRun(run);
  if (table === undefined) return error === null ? <Waiting what="the experiments" /> : <Problem error={error} what="run" onRetry={() => void refetch()} />;
  return <Flow run={run} table={table} detail={detail} />;
}

interface Props {
  readonly run: string;
  readonly table: ExperimentTable;
  readonly detail: RunDetail | undefined;
}

/** A list has no columns: what it could show is what a wide table would. */
const LIST_PX = 1350;

function Flow({ run, table, detail }: Props): ReactNode {
  const isPhone = useMediaQuery("(max-width: 700px)");
  const { ref, room } = useRoom<HTMLDivElement>();
  const view = useFlowView(table, detail, isPhone ? LIST_PX : room);
  const selection = useSelection();
  const causes = useMemo(() => causesOf(table.rows), [table.rows]);
  return (
    <div ref={ref} className={classes.page}>
      <Tools run={run} view={view} total={table.rows.length} isPhone={isPhone} />
      {causes.size === 0 ? null : <Causes causes={causes} view={view} />}
      {table.rows.length === 0 ? (
        <Notice title="No experiment has started yet">Rows appear here as soon as the first one does.</Notice>
      ) : view.rows.length === 0 ? (
        <Notice title="No experiment matches">
          <p>{emptyReason(view)}</p>
          <Button onClick={() => changeView({ filter: null, only: null, hide: null })}>Show all {formatCount(table.rows.length)}</Button>
        </Notice>
      ) : isPhone ? (
        <FlowList view={view} table={table} selection={selection} />
      ) : (
        <Table run={run} view={view} table={table} detail={detail} causes={causes} />
      )}
    </div>
  );
}

function emptyReason(view: FlowView): ReactNode {
  if (view.filterText === "") return "All of them are hidden, or not selected.";
  const foreign = ["&&", "||"].find((sign) => view.filterText.split(/\s+/).includes(sign));
  return (
    <>
      The filter <code>{view.filterText}</code> leaves none.
      {foreign === undefined ? null : (
        <>
          {" "}
          <code>{foreign}</code> is looked for as a word: write <code>{foreign === "&&" ? "and" : "or"}</code>.
        </>
      )}
    </>
  );
}

interface ToolsProps {
  readonly run: string;
  readonly view: FlowView;
  readonly total: number;
  readonly isPhone: boolean;
}

function Tools({ run, view, total, isPhone }: ToolsProps): ReactNode {
  return (
    <div className={classes.tools} data-search>
      <TextField
        label="Filter experiments"
        isLabelHidden
        isWide
        type="search"
        value={view.filterText}
        placeholder="status:failed or lr<0.01 and val/loss<0.2"
        problem={view.filterProblem}
        onChange={(text) => changeView({ filter: text }, { replace: true })}
      />
      <span className={classes.count}>
        {view.rows.length === total ? countOf(total, "experiment") : `${formatCount(view.rows.length)} of ${formatCount(total)}`}
      </span>
      {view.filterText === "" || view.filterProblem !== null || view.rows.length === 0 ? null : (
        <Button look="quiet" icon={<IconCheckbox />} title="Select what the filter leaves, on every page" onClick={() => toggleAll(view.rows.map((row) => row.experiment_id))}>
          Select these
        </Button>
      )}
      {isPhone ? (
        <SortChoice view={view} />
      ) : (
        <>
          <GroupChoice view={view} />
          <ColumnChoice view={view} />
          <Button isOn={view.isHeated} icon={<IconFlame />} title="Shade metrics by how good they are" onClick={() => changeView({ heat: view.isHeated ? null : "1" }, { replace: true })}>
            Shade
          </Button>
        </>
      )}
      <Download run={run} view={view} />
    </div>
  );
}

function Causes({ causes, view }: { readonly causes: ReadonlyMap<string, readonly ExperimentRow[]>; readonly view: FlowView }): ReactNode {
  return (
    <div className={classes.causes}>
      {[...causes].slice(0, 4).map(([cause, rows]) => {
        const first = rows[0];
        if (first === undefined) return null;
        return (
          <button key={cause} type="button" className={classes.cause} title="Show what happened" onClick={() => toggleUnfolded(view, String(first.experiment_id))}>
            <b>{rows.length} failed</b>
            <span>{first.error ?? first.exit_signal}</span>
          </button>
        );
      })}
    </div>
  );
}

interface TableProps extends Props {
  readonly view: FlowView;
  readonly causes: ReadonlyMap<string, readonly ExperimentRow[]>;
}

function Table({ run, view, table, detail, causes }: TableProps): ReactNode {
  const [selection, scheme, at, clock] = [useSelection(), useScheme(), useAt(), useNow()];
  const metric = curveMetric(table, detail, view.sort?.column ?? null);
  const isCurveShown = view.shown.some(({ id }) => id === "curve");
  const choice = useMemo(() => ({ keys: metric !== null && isCurveShown ? [metric] : [], experiments: null, points: SPARK_POINTS }), [metric, isCurveShown]);
  const { data: curves } = useCurves(run, choice);
  const isLive = at === null && detail?.status === "running";
  const now = isLive ? clock : (detail?.last_event_at ?? clock);
  const columns = useMemo(
    () => gridColumns({ view, selection, scheme, now, metric, curves }),
    [view, selection, scheme, now, metric, curves],
  );
  const held = useHeldOrder(view.items, [view.filterText, view.sort?.column, view.sort?.isDescending, view.groupBy, [...view.unfolded], selection.ids, selection.isOnly, [...selection.hidden], at].join("|"));
  const open = (item: Item): void => {
    if (item.kind === "group") toggleUnfolded(view, item.key);
    else changeView(toPage("experiment", { experiment: String(item.row.experiment_id) }));
  };
  const fold = (item: Item, isToOpen: boolean): boolean => {
    if (!canUnfold(item) || view.unfolded.has(item.key) === isToOpen) return false;
    toggleUnfolded(view, item.key);
    return true;
  };
  const toggle = (item: Item): void => {
    if (item.kind === "group") toggleAll(idsOf(item));
    else toggleSelected(item.row.experiment_id);
  };
  return (
    <div className={classes.gridBox} onPointerEnter={held.onPointerEnter} onPointerLeave={held.onPointerLeave}>
      {held.waiting === 0 ? null : (
        <button type="button" className={classes.pill} onClick={held.apply}>
          {countOf(held.waiting, "update")}
        </button>
      )}
      <DataGrid
        label="Experiments"
        place={`experiments of ${run}`}
        rows={held.items}
        columns={columns}
        keyOf={(item) => item.key}
        sort={view.sort}
        onSort={(column) => sortBy(view, column)}
        onOpen={open}
        onToggle={toggle}
        onFold={fold}
        isSelected={(item) => item.kind === "experiment" && selection.set.has(item.row.experiment_id)}
        kindOf={(item) => item.kind}
        wholeRow={(item) => (item.kind === "failure" ? <Failure run={run} row={item.row} alike={causes.get(causeOf(item.row)) ?? []} /> : null)}
      />
    </div>
  );
}
