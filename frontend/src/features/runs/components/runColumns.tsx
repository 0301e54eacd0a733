// The columns of the list of runs.
import { IconArrowBackUp, IconPencil, IconRepeat } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { IconButton } from "@/components/Button";
import type { GridColumn } from "@/components/grid/columns";
import { fitted, sumOf, type Sized } from "@/components/grid/fit";
import { ProgressBar } from "@/components/ProgressBar";
import { Status } from "@/components/Status";
import { Verdict } from "@/components/Verdict";
import { plannedExperiments } from "@/lib/eta";
import { formatCount, formatDuration, formatMoment, formatNumber, formatWhole, MISSING, numberOf } from "@/lib/format";
import { fractionRead, readingText } from "@/lib/reading";
import { changeView } from "@/lib/url";
import type { RunSummary } from "@/types/api";
import { useChangeRun } from "../api/changeRun";
import classes from "./Runs.module.css";

interface Around {
  readonly runs: readonly RunSummary[];
  readonly chosen: ReadonlySet<string>;
  readonly now: number;
  readonly room: number;
  readonly onToggle: (run: string) => void;
  readonly onEdit: (run: RunSummary) => void;
}

export function durationOfRun(run: RunSummary, now: number): number | null {
  if (run.duration_s !== null) return run.duration_s;
  return run.status === "running" && run.started_at !== null ? now - run.started_at : null;
}

type RunColumn = GridColumn<RunSummary> & Sized;

/** Gives the columns: those that say which run it is and how it stands fit into so many px, or do without the id. */
export function runColumns({ chosen, now, room, onToggle, onEdit }: Around): GridColumn<RunSummary>[] {
  const first: RunColumn[] = [
    { id: "name", title: "run", width: 226, least: 186, isWide: true, isPinned: true, render: (run) => <Name run={run} isChosen={chosen.has(run.run_id)} onToggle={onToggle} onEdit={onEdit} /> },
    { id: "run_id", title: "id", width: 168, least: 168, isSortable: false, render: identityOf },
    { id: "status", title: "state", width: 112, least: 112, render: (run) => <Status status={run.status} /> },
    { id: "num_experiments", title: "experiments", width: 178, least: 164, render: progressOfRun },
    { id: "best", title: "best", width: 182, least: 150, isNumber: true, isSortable: false, hint: "the best value of the metric that the run selects by", render: bestOf },
    { id: "reproduction", title: "reproduced", width: 154, least: 96, isSortable: false, hint: "the gravest verdict of `mlgym reproduce`", render: verdictOf },
    { id: "duration_s", title: "time", width: 76, least: 70, isNumber: true, render: (run) => formatDuration(durationOfRun(run, now)) },
    { id: "created_at", title: "started", width: 114, least: 106, isNumber: true, render: (run) => <span title={formatWhole(run.created_at)}>{formatMoment(run.created_at)}</span> },
  ]; // prettier-ignore
  const identity = first.filter(({ id }) => id === "run_id");
  const others = first.filter(({ id }) => id !== "run_id");
  const isWhole = sumOf(first, "least") <= room;
  return [...(isWhole ? fitted(first, room) : [...fitted(others, room), ...identity]),
    { id: "tags", title: "tags", width: 130, isSortable: false, render: (run) => <Tags run={run} /> },
    { id: "mode", title: "validation", width: 140, isSortable: false, render: (run) => <span className="dim">{run.validation_mode?.replaceAll("_", " ") ?? ""}</span> },
    { id: "num_events", title: "events", width: 84, isNumber: true, render: (run) => formatCount(run.num_events) },
    { id: "notes", title: "notes", width: 160, isWide: true, isSortable: false, render: (run) => <span title={run.notes}>{run.problem ?? run.notes.split("\n")[0]}</span> },
  ]; // prettier-ignore
}

interface NameProps extends Pick<Around, "onToggle" | "onEdit"> {
  readonly run: RunSummary;
  readonly isChosen: boolean;
}

function Name({ run, isChosen, onToggle, onEdit }: NameProps): ReactNode {
  return (
    <>
      <input type="checkbox" tabIndex={-1} className={classes.select} checked={isChosen} aria-label={`Choose run ${run.run_id}`} onChange={() => onToggle(run.run_id)} />
      <span className={classes.name}>
        <b title={run.name ?? run.run_id}>{run.name ?? run.run_id}</b>
        {run.reproduces == null ? null : <Repeats run={run.reproduces} />}
      </span>
      <span className={classes.actions}>
        <Actions run={run} onEdit={onEdit} />
      </span>
    </>
  );
}

function Repeats({ run }: { readonly run: string }): ReactNode {
  return (
    <span className={classes.repeats} title={`repeats ${run}`}>
      <IconRepeat aria-hidden />
      <span className="visually-hidden">repeats {run}</span>
    </span>
  );
}

function identityOf({ name, run_id: id }: RunSummary): ReactNode {
  return name === null ? null : <span className="dim number" title={id}>{id}</span>;
}

export function progressOfRun(run: RunSummary): ReactNode {
  if (run.reading != null) return <Reading reading={run.reading} />;
  if (run.problem != null) return <Unread problem={run.problem} numEvents={run.num_events} />;
  const ended = run.counts.done + run.counts.failed;
  const total = plannedExperiments(run);
  const words = `${ended}/${total}`;
  return (
    <span className={classes.progress}>
      <ProgressBar fraction={total === 0 ? 0 : ended / total} label={words} isMuted={run.status !== "running"} />
      <span className={classes.failed}>{run.counts.failed === 0 ? "" : `${run.counts.failed} failed`}</span>
    </span>
  );
}

/** A log that is damaged says less than happened: no number of experiments stands for all. */
function Unread({ problem, numEvents }: { readonly problem: string; readonly numEvents: number }): ReactNode {
  return (
    <span className={classes.failed} title={problem}>
      {numEvents === 0 ? "log cannot be read" : `log damaged after ${formatCount(numEvents)} events`}
    </span>
  );
}

/** How far the hub has read a long log; until then it cannot say more. */
function Reading({ reading }: { readonly reading: NonNullable<RunSummary["reading"]> }): ReactNode {
  return (
    <span className={classes.progress}>
      <ProgressBar fraction={fractionRead(reading)} label={readingText(reading)} isMuted />
    </span>
  );
}

export function bestOf(run: RunSummary): ReactNode {
  const metric = run.metrics.find(({ key }) => key === run.selected_metric) ?? run.metrics[0];
  if (metric?.best == null) return MISSING;
  return (
    <>
      <span className="dim">{metric.key}</span> <span className={classes.value} title={`experiment ${metric.best_experiment ?? ""}, epoch ${metric.best.epoch}`}>{formatNumber(numberOf(metric.best))}</span>
    </>
  );
}

/** What came of running experiments again, and of how many: the gravest first. */
export function verdictOf(run: RunSummary): ReactNode {
  if (run.reading != null) return MISSING;
  const found = run.reproduction ?? null;
  if (found === null) return <Verdict verdict={null} />;
  const { num_identical: identical, num_within_tolerance: near, num_diverged: diverged } = found;
  const total = identical + near + diverged;
  const other = found.new_run_id === run.run_id ? `repeats ${found.original_run_id}` : `run again as ${found.new_run_id}`;
  const title = `${identical} identical, ${near} nearly equal, ${diverged} differ; experiment ${found.experiment_id} ${other}`;
  return <Verdict verdict={found.verdict} epoch={found.epoch} title={title} more={total > 1 ? ` (${total})` : ""} />;
}

export function Tags({ run }: { readonly run: RunSummary }): ReactNode {
  return run.tags.map((tag) => (
    <button key={tag} type="button" className={classes.tag} title={`Runs with the tag ${tag}`} onClick={() => changeView({ tag })}>
      {tag}
    </button>
  ));
}

function Actions({ run, onEdit }: { readonly run: RunSummary; readonly onEdit: (run: RunSummary) => void }): ReactNode {
  const change = useChangeRun();
  if (run.is_trashed) {
    return (
      <IconButton label={`Restore run ${run.run_id}`} onClick={() => change.mutate({ kind: "restore", run: run.run_id })}>
        <IconArrowBackUp />
      </IconButton>
    );
  }
  return (
    <IconButton label={`Name, tags and notes of run ${run.run_id}`} onClick={() => onEdit(run)}>
      <IconPencil />
    </IconButton>
  );
}
