// Two or more runs side by side: what came of each, and what was different about the best of each.
import { useQueries } from "@tanstack/react-query";
import { Fragment, type ReactNode } from "react";
import { Dialog } from "@/components/Dialog";
import { Status } from "@/components/Status";
import { formatDuration, formatNumber, formatValue, MISSING, numberOf } from "@/lib/format";
import { changeView, toRun } from "@/lib/url";
import type { RunMetric, RunSummary } from "@/types/api";
import { runDiffQuery } from "../api/diff";
import classes from "./Runs.module.css";

interface Props {
  readonly runs: readonly RunSummary[];
  readonly isOpen: boolean;
  readonly onClose: () => void;
}

export function Compare({ runs, isOpen, onClose }: Props): ReactNode {
  return (
    <Dialog title={`${runs.length} runs`} isOpen={isOpen} onClose={onClose} isWide>
      <Sides runs={runs} />
    </Dialog>
  );
}

const metricOf = (run: RunSummary, key: string): RunMetric | undefined => run.metrics.find((metric) => metric.key === key);
const bestExperiment = (run: RunSummary): number => (metricOf(run, run.selected_metric ?? "") ?? run.metrics[0])?.best_experiment ?? 0;

function Sides({ runs }: { readonly runs: readonly RunSummary[] }): ReactNode {
  const keys = [...new Set(runs.flatMap((run) => run.metrics.map(({ key }) => key)))];
  return (
    <div className={classes.wide}>
      <table className={classes.table}>
        <thead>
          <tr>
            <th scope="col">run</th>
            {runs.map((run) => (
              <th key={run.run_id} scope="col">
                <button type="button" className={classes.link} onClick={() => changeView(toRun(run.run_id))}>
                  {run.name ?? run.run_id}
                </button>
                <div className="dim number">{run.run_id}</div>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <Line name="state" runs={runs} cell={(run) => <Status status={run.status} />} />
          <Line name="experiments" runs={runs} cell={(run) => `${run.counts.done} of ${run.num_experiments}${run.counts.failed > 0 ? `, ${run.counts.failed} failed` : ""}`} />
          <Line name="time" runs={runs} cell={(run) => formatDuration(run.duration_s)} />
          {keys.map((key) => (
            <MetricLine key={key} name={key} runs={runs} />
          ))}
          <Differences runs={runs} />
        </tbody>
      </table>
    </div>
  );
}

function Line({ name, runs, cell }: { readonly name: string; readonly runs: readonly RunSummary[]; readonly cell: (run: RunSummary) => ReactNode }): ReactNode {
  return (
    <tr>
      <th scope="row">{name}</th>
      {runs.map((run) => (
        <td key={run.run_id}>{cell(run)}</td>
      ))}
    </tr>
  );
}

function MetricLine({ name, runs }: { readonly name: string; readonly runs: readonly RunSummary[] }): ReactNode {
  const values = runs.map((run) => numberOf(metricOf(run, name)?.best));
  const known = values.filter((value): value is number => value !== null && Number.isFinite(value));
  const isLow = runs.map((run) => metricOf(run, name)?.direction).find((one) => one !== undefined) === "min";
  const best = known.length > 1 ? (isLow ? Math.min(...known) : Math.max(...known)) : null;
  return (
    <tr>
      <th scope="row">
        {name} <small>best</small>
      </th>
      {runs.map((run, i) => (
        <td key={run.run_id} data-best={best !== null && values[i] === best}>
          {formatNumber(values[i] ?? null)} <small>{metricOf(run, name)?.best_experiment == null ? "" : `#${metricOf(run, name)?.best_experiment ?? ""}`}</small>
        </td>
      ))}
    </tr>
  );
}

function Differences({ runs }: { readonly runs: readonly RunSummary[] }): ReactNode {
  const [first, ...others] = runs;
  const queries = useQueries({
    queries: first === undefined ? [] : others.map((run) => runDiffQuery({ run: first.run_id, experiment: bestExperiment(first) }, { run: run.run_id, experiment: bestExperiment(run) })),
  });
  const keys = [...new Set(queries.flatMap(({ data }) => data?.changes.map(({ key }) => key) ?? []))];
  if (first === undefined || keys.length === 0) return null;
  return (
    <Fragment>
      <tr>
        <th colSpan={runs.length + 1} scope="colgroup" className={classes.section}>
          Config of the best experiment, where it differs
        </th>
      </tr>
      {keys.map((key) => {
        const changes = queries.map(({ data }) => data?.changes.find((change) => change.key === key));
        const old = changes.find((change) => change !== undefined)?.old;
        return (
          <tr key={key}>
            <th scope="row">{key}</th>
            <td>{formatValue(old ?? undefined)}</td>
            {changes.map((change, i) => (
              <td key={others[i]?.run_id} data-best={change !== undefined}>
                {change === undefined ? formatValue(old ?? undefined) : change.kind === "removed" ? MISSING : formatValue(change.new)}
              </td>
            ))}
          </tr>
        );
      })}
    </Fragment>
  );
}
