// Which is better, since when? A chart for each metric and split.
import { useMemo, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { Notice, Problem, Waiting } from "@/components/Notice";
import { countOf, formatCount, formatValue, shortKeys } from "@/lib/format";
import { useRun, useTable } from "@/lib/hub/queries";
import { columnsOf, sortRows, valueOf } from "@/lib/rowValues";
import { useScheme } from "@/lib/scheme";
import { isShown, useSelection, type Selection } from "@/lib/selection";
import { changeView, toPage } from "@/lib/url";
import type { ExperimentRow, ExperimentTable, RunDetail } from "@/types/api";
import { colouringOf, tellingColumn } from "../model/colouring";
import type { PanelContext } from "../model/context";
import { metricRows, sections } from "../model/panels";
import { planOf, type Plan } from "../model/series";
import { useAnalysisView, type AnalysisView } from "../model/view";
import classes from "./Analysis.module.css";
import { Legend } from "./Legend";
import { MetricPanel } from "./MetricPanel";
import { Tools } from "./Tools";

const MAX_COLOURED_BY_ITSELF = 8;

export function AnalysisPage({ run }: { readonly run: string }): ReactNode {
  const { data: table, error, refetch } = useTable(run);
  const { data: detail } = useRun(run);
  if (table === undefined) return error === null ? <Waiting what="the metrics" /> : <Problem error={error} what="run" onRetry={() => void refetch()} />;
  return <Analysis run={run} table={table} detail={detail} />;
}

function Analysis({ run, table, detail }: { readonly run: string; readonly table: ExperimentTable; readonly detail: RunDetail | undefined }): ReactNode {
  const [view, selection, scheme] = [useAnalysisView(), useSelection(), useScheme()];
  const keys = useMemo(() => columnsOf(table.columns, "metric"), [table.columns]);
  const metric = detail?.selected_metric ?? keys[0] ?? null;
  const rows = useMemo(() => shownRows(table, selection, view.top, metric), [table, selection, view.top, metric]);
  // Colours stay while values come, and are thought over when an experiment has ended.
  const numEnded = table.rows.filter((row) => row.finished_at !== null).length;
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const telling = useMemo(() => tellingColumn(table, metric), [table.columns, table.rows.length, numEnded, metric]);
  const column = view.colourBy ?? (selection.ids.length > 0 ? "" : (meanColumn(view.average, telling) ?? (rows.length > MAX_COLOURED_BY_ITSELF ? telling : "")));
  const describe = useDescribe(table);
  const plan = usePlan(rows, view, selection, describe);
  const colouring = useMemo(
    () => colouringOf(rows, selection, column === "" ? null : column, scheme, describe),
    // The plan is another one when other experiments are shown; what they measure has no colour.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [plan, selection, column, scheme, describe],
  );
  const shown = useMemo(() => keys.filter(view.isWanted), [keys, view]);
  const pinned = shown.filter((key) => view.pinned.includes(key));
  const byMetric = sections(metricRows(shown.filter((key) => !pinned.includes(key)), metric));
  const context = useMemo((): PanelContext => ({ run, table, rows, view, plan, colouring }), [run, table, rows, view, plan, colouring]);
  return (
    <div className={classes.page}>
      <Tools view={view} table={table} />
      {keys.length === 0 ? (
        <Unmeasured table={table} isRunning={detail?.status === "running"} />
      ) : shown.length === 0 ? (
        <Notice title="No metric matches">
          The expression <code>{view.match}</code> finds none of {keys.length}.
        </Notice>
      ) : (
        <Legend context={context} metric={metric} />
      )}
      {pinned.length === 0 ? null : (
        <section className={classes.row} aria-label="Pinned charts">
          <div className={classes.charts}>
            {pinned.map((key) => (
              <MetricPanel key={key} metricKey={key} context={context} />
            ))}
          </div>
        </section>
      )}
      {byMetric.map((row) => (
        <section key={row.metric} className={classes.row} aria-label={row.metric}>
          <div className={classes.charts}>
            {row.keys.map((key) => (
              <MetricPanel key={key} metricKey={key} context={context} />
            ))}
          </div>
        </section>
      ))}
    </div>
  );
}

function Unmeasured({ table, isRunning }: { readonly table: ExperimentTable; readonly isRunning: boolean }): ReactNode {
  const numFailed = table.rows.filter(({ status }) => status === "failed").length;
  if (isRunning || table.rows.length === 0) return <Notice title="Nothing was measured yet">Charts appear with the first evaluation.</Notice>;
  return (
    <Notice title="Nothing was measured">
      <p>{numFailed === 0 ? "No experiment came to an evaluation." : `${formatCount(numFailed)} of ${countOf(table.rows.length, "experiment")} failed before the first evaluation.`}</p>
      <Button onClick={() => changeView(toPage("flow"))}>See what happened</Button>
    </Notice>
  );
}

/** Gives which of the columns that means are made for tells them apart. Others differ within a mean, and colour nothing. */
function meanColumn(average: readonly string[], telling: string | null): string | null {
  return average.find((one) => one === telling) ?? average[0] ?? null;
}

function shownRows(table: ExperimentTable, selection: Selection, top: number | null, metric: string | null): ExperimentRow[] {
  const rows = table.rows.filter((row) => isShown(selection, row.experiment_id));
  if (top === null || metric === null) return rows;
  const direction = table.columns.find(({ key }) => key === metric)?.direction;
  const best = sortRows(rows, metric, direction !== "min").slice(0, top);
  return [...best, ...rows.filter((row) => selection.set.has(row.experiment_id) && !best.includes(row))];
}

function useDescribe(table: ExperimentTable): (row: ExperimentRow) => string {
  return useMemo(() => {
    const swept = columnsOf(table.columns, "swept");
    const short = shortKeys(swept);
    return (row) => [`#${row.experiment_id}`, ...swept.slice(0, 3).map((key) => `${short.get(key) ?? key} ${formatValue(valueOf(row, key) ?? undefined)}`)].join("  ");
  }, [table.columns]);
}

/** Gives the same plan until something else is asked for: rows are others with every event. */
function usePlan(rows: readonly ExperimentRow[], view: AnalysisView, selection: Selection, describe: (row: ExperimentRow) => string): Plan {
  const plan = useMemo(() => planOf(rows, view, selection, describe), [rows, view, selection, describe]);
  const asked = useMemo(() => JSON.stringify(plan.ask), [plan]);
  // eslint-disable-next-line react-hooks/exhaustive-deps
  return useMemo(() => plan, [asked, selection, describe]);
}
