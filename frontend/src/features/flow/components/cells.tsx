// What stands in the cells of the table of experiments.
import type { ReactNode } from "react";
import { Status } from "@/components/Status";
import { ProgressBar } from "@/components/ProgressBar";
import { Verdict } from "@/components/Verdict";
import { durationOf, remainingOf } from "@/lib/eta";
import { formatBytes, formatDuration, formatMoment, formatNumber, MISSING } from "@/lib/format";
import { epochOf, epochsOver } from "@/lib/progress";
import { valueOf } from "@/lib/rowValues";
import type { Spread } from "@/lib/statistics";
import type { ExperimentRow } from "@/types/api";
import classes from "./Flow.module.css";

export function progressCell(row: ExperimentRow): ReactNode {
  const { progress } = row;
  if (progress === null) return row.status === "running" ? <span className="dim">starting</span> : null;
  const words = `${epochsOver(row)}/${progress.num_epochs}`;
  if (row.status === "running") {
    const where = progress.phase === "train" ? `${progress.batch}/${progress.num_batches}` : `eval ${progress.split}`;
    return (
      <span className={classes.progress} title={`epoch ${epochOf(progress)} of ${progress.num_epochs}, ${progress.phase} ${progress.split}, batch ${progress.batch} of ${progress.num_batches}`}>
        <ProgressBar fraction={progress.fraction} label={words} />
        <small className="number">{where}</small>
      </span>
    );
  }
  const stop = row.stop_reason === null ? null : <span className={classes.stopped}>stopped early</span>;
  return (
    <span className="number" title={row.stop_reason ?? undefined}>
      {row.status === "failed" ? `epoch ${Math.max(epochOf(progress), epochsOver(row))}/${progress.num_epochs}` : words} {stop}
    </span>
  );
}

export function factCell(row: ExperimentRow, id: string, now: number): ReactNode {
  switch (id) {
    case "experiment_id":
      return row.experiment_id;
    case "status":
      return <Status status={shownStatus(row)} title={failureOf(row) ?? undefined} />;
    case "progress":
      return progressCell(row);
    case "duration_s":
      return formatDuration(durationOf(row, now));
    case "left":
      return formatDuration(remainingOf(row, now));
    case "steps_per_s":
      return row.steps_per_s === null ? MISSING : formatNumber(row.steps_per_s, 3);
    case "rss_bytes":
      return formatBytes(row.rss_bytes);
    case "started_at":
      return formatMoment(row.started_at);
    case "error":
      return <ErrorCell row={row} />;
    case "standing":
      return <StandingCell row={row} />;
    case "decision":
      return <span title={row.decision ?? undefined}>{row.decision}</span>;
    case "device":
      return <span title={row.device ?? undefined}>{row.device ?? MISSING}</span>;
    case "verdict":
      return <Verdict verdict={row.verdict} />;
    default:
      return formatNumber(valueOf(row, id) as number | null);
  }
}

/** The job of a trial that a search may go on with is over, but the trial is not. */
export function shownStatus(row: ExperimentRow): string {
  if (row.status !== "done") return row.status;
  return row.standing === "paused" ? "paused" : row.standing === "running" ? "waiting" : row.status;
}

const STANDINGS: Readonly<Record<string, string>> = {
  running: "its turn, or going on",
  paused: "the search may go on with it",
  left: "the search ended without going on with it",
  stopped: "the strategy stopped it",
};

function StandingCell({ row }: { readonly row: ExperimentRow }): ReactNode {
  if (row.standing == null) return MISSING;
  const title = [STANDINGS[row.standing], row.decision].filter(Boolean).join("; ");
  return (
    <span className={row.standing === "running" || row.standing === "complete" ? undefined : classes.stopped} title={title}>
      {row.standing}
    </span>
  );
}

function ErrorCell({ row }: { readonly row: ExperimentRow }): ReactNode {
  const failure = failureOf(row);
  if (failure !== null) {
    return (
      <span className={classes.error} title={failure}>
        {firstLine(failure)}
      </span>
    );
  }
  return row.stop_reason === null ? null : (
    <span className={classes.stopped} title={row.stop_reason}>
      {row.stop_reason}
    </span>
  );
}

/** Gives what went wrong; null where nothing did. */
export function failureOf(row: ExperimentRow): string | null {
  return row.error ?? (row.exit_signal === null ? null : `ended by ${row.exit_signal}`);
}

const firstLine = (text: string): string => text.split("\n").find((line) => line.trim() !== "") ?? text;

/** A mean always with what it is over; what metrics are not has no room for its spread. */
export function spreadCell(spread: Spread | null, words: ((value: number) => string) | undefined): ReactNode {
  if (spread === null) return MISSING;
  const write = words ?? ((value: number): string => formatNumber(value));
  return (
    <span title={`mean of ${spread.n}${spread.sd === null ? "" : `, sd ${write(spread.sd)}`}, from ${write(spread.low)} to ${write(spread.high)}`}>
      {write(spread.mean)}
      {spread.sd === null || words !== undefined ? null : <small className="dim"> ±{formatNumber(spread.sd, 2)}</small>}
    </span>
  );
}
