// The runs on a phone: each line opens its run, and has everything else in a sheet.
import { IconDots } from "@tabler/icons-react";
import { useState, type ReactNode } from "react";
import { IconButton } from "@/components/Button";
import { Status } from "@/components/Status";
import { formatDuration, formatMoment } from "@/lib/format";
import { changeView, toRun } from "@/lib/url";
import type { RunSummary } from "@/types/api";
import { bestOf, durationOfRun, progressOfRun, verdictOf } from "./runColumns";
import { RunSheet } from "./RunSheet";
import classes from "./Runs.module.css";

interface Props {
  readonly runs: readonly RunSummary[];
  readonly chosen: ReadonlySet<string>;
  readonly now: number;
  readonly onToggle: (run: string) => void;
  readonly onEdit: (run: RunSummary) => void;
}

export function RunsList({ runs, chosen, now, onToggle, onEdit }: Props): ReactNode {
  const [acted, setActed] = useState<RunSummary | null>(null);
  return (
    <>
      <ul className={classes.list} aria-label="Runs">
        {runs.map((run) => (
          <li key={`${run.run_id} ${run.created_at ?? ""}`} data-chosen={chosen.has(run.run_id)}>
            <label className={classes.choose}>
              <input type="checkbox" className={classes.select} checked={chosen.has(run.run_id)} aria-label={`Choose run ${run.run_id}`} onChange={() => onToggle(run.run_id)} />
            </label>
            <button type="button" className={classes.open} disabled={run.is_trashed} onClick={() => changeView(toRun(run.run_id))}>
              <Facts run={run} now={now} />
            </button>
            <IconButton label={`What to do with run ${run.run_id}`} aria-haspopup="dialog" onClick={() => setActed(run)}>
              <IconDots />
            </IconButton>
          </li>
        ))}
      </ul>
      {acted === null ? null : <RunSheet run={acted} isChosen={chosen.has(acted.run_id)} onToggle={onToggle} onEdit={onEdit} onClose={() => setActed(null)} />}
    </>
  );
}

function Facts({ run, now }: { readonly run: RunSummary; readonly now: number }): ReactNode {
  return (
    <>
      <span className={classes.line}>
        <b>{run.name ?? run.run_id}</b>
        <Status status={run.status} />
      </span>
      <span className={classes.line}>{progressOfRun(run)}</span>
      {run.reproduction == null ? null : <span className={classes.line}>{verdictOf(run)}</span>}
      <span className={`${classes.line ?? ""} number`}>
        <span>{bestOf(run)}</span>
        <span className="dim">
          {formatMoment(run.created_at)} · {formatDuration(durationOfRun(run, now))}
        </span>
      </span>
      {run.tags.length === 0 && run.notes === "" ? null : <span className={`${classes.remark ?? ""} dim`}>{[run.tags.join(", "), run.notes.split("\n")[0]].filter(Boolean).join(" · ")}</span>}
    </>
  );
}
