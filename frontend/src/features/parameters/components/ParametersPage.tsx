// Why? What the parameters have to do with a metric.
import { useMemo, type ReactNode } from "react";
import { SelectField } from "@/components/Field";
import { Notice, Problem, Waiting } from "@/components/Notice";
import { scaleColour, type Scheme } from "@/lib/colours";
import { formatNumber, shortKeys, shortValue } from "@/lib/format";
import { useRun, useTable } from "@/lib/hub/queries";
import { columnsOf, valueOf } from "@/lib/rowValues";
import { useScheme } from "@/lib/scheme";
import { isShown, useSelection } from "@/lib/selection";
import { changeView, useParameter } from "@/lib/url";
import type { ExperimentRow, ExperimentTable } from "@/types/api";
import { distinctValues, isVaried, metricAxisOf, type Axis } from "../model/axes";
import type { Shared } from "../model/shared";
import { Heat } from "./Heat";
import { Importance } from "./Importance";
import { ParallelCoordinates } from "./ParallelCoordinates";
import classes from "./Parameters.module.css";
import { Slices } from "./Slices";

export function ParametersPage({ run }: { readonly run: string }): ReactNode {
  const { data: table, error, refetch } = useTable(run);
  const { data: detail } = useRun(run);
  if (table === undefined) return error === null ? <Waiting what="the parameters" /> : <Problem error={error} what="run" onRetry={() => void refetch()} />;
  const swept = columnsOf(table.columns, "swept");
  const metrics = columnsOf(table.columns, "metric");
  if (table.rows.length === 0) return <Notice title="No experiment yet">What the parameters do shows with the first evaluations.</Notice>;
  if (swept.length === 0) return <Notice title="Nothing was swept">This run has one value for every parameter, so there is nothing to explain.</Notice>;
  if (metrics.length === 0) return <Notice title="Nothing was measured yet">What the parameters do shows with the first evaluations.</Notice>;
  const varied = swept.filter((key) => isVaried(table.rows, key));
  return <Parameters run={run} table={table} swept={varied.length === 0 ? swept : varied} constant={varied.length === 0 ? [] : swept.filter((key) => !varied.includes(key))} metrics={metrics} selected={detail?.selected_metric ?? null} />;
}

interface Props {
  readonly run: string;
  readonly table: ExperimentTable;
  readonly swept: readonly string[];
  /** Those of which all experiments have the same value. */
  readonly constant: readonly string[];
  readonly metrics: readonly string[];
  readonly selected: string | null;
}

function Parameters({ run, table, swept, constant, metrics, selected }: Props): ReactNode {
  const [chosen] = useParameter("metric");
  const [selection, scheme] = [useSelection(), useScheme()];
  const metric = metrics.find((key) => key === chosen) ?? metrics.find((key) => key === selected) ?? metrics[0] ?? "";
  const rows = useMemo(() => table.rows.filter((row) => !selection.hidden.has(row.experiment_id) && (!selection.isOnly || isShown(selection, row.experiment_id))), [table.rows, selection]);
  const short = useMemo(() => shortKeys(swept), [swept]);
  const isLow = table.columns.find(({ key }) => key === metric)?.direction === "min";
  const axis = useMemo(() => metricAxisOf(rows, metric), [rows, metric]);
  const shared = useMemo((): Shared => ({ rows, metric, swept, short, isLow, colourOf: colouring(axis, metric, isLow, scheme) }), [rows, metric, swept, short, isLow, axis, scheme]);
  const numbers = rows.map((row) => valueOf(row, metric)).filter((value): value is number => typeof value === "number" && Number.isFinite(value));
  return (
    <div className={classes.page}>
      <div className={classes.tools}>
        <SelectField label="metric" value={metric} options={metrics.map((key) => [key, key] as const)} onChange={(value) => changeView({ metric: value }, { replace: true })} />
        <span className="dim">
          best value of each of {numbers.length} experiments{numbers.length < rows.length ? `, ${rows.length - numbers.length} without one` : ""}
        </span>
        {constant.length === 0 ? null : <span className="dim">the same in all: {constant.map((key) => `${key} ${distinctValues(table.rows, key).map(shortValue).join("")}`).join(", ")}</span>}
        {numbers.length < 2 ? null : <Ramp low={Math.min(...numbers)} high={Math.max(...numbers)} isLow={isLow} scheme={scheme} />}
      </div>
      <ParallelCoordinates shared={shared} metricAxis={axis} selection={selection} />
      <Importance run={run} shared={shared} />
      <Slices shared={shared} metricAxis={axis} selection={selection} />
      {swept.length > 1 ? <Heat shared={shared} /> : null}
    </div>
  );
}

function colouring(axis: Axis, metric: string, isLow: boolean, scheme: Scheme): (row: ExperimentRow) => string | null {
  return (row) => {
    const at = axis.positionOf(valueOf(row, metric));
    return at === null ? null : scaleColour(isLow ? 1 - at : at, scheme);
  };
}

function Ramp({ low, high, isLow, scheme }: { readonly low: number; readonly high: number; readonly isLow: boolean; readonly scheme: Scheme }): ReactNode {
  const stops = [0, 0.25, 0.5, 0.75, 1].map((at) => scaleColour(isLow ? 1 - at : at, scheme)).join(", ");
  return (
    <span className={`${classes.legend ?? ""} number`}>
      {formatNumber(low)}
      <span className={classes.ramp} style={{ background: `linear-gradient(to right, ${stops})` }} />
      {formatNumber(high)}
    </span>
  );
}
