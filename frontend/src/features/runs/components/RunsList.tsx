// The runs on a phone.
import type { ReactNode } from "react";
import { Status } from "@/components/Status";
import { formatDuration, formatMoment } from "@/lib/format";
import { changeView, toRun } from "@/lib/url";
import type { RunSummary } from "@/types/api";
import { bestOf, durationOfRun, progressOfRun, verdictOf } from "./runColumns";
import classes from "./Runs.module.css";

export function RunsList({ runs, now }: { readonly runs: readonly RunSummary[]; readonly now: number }): ReactNode {
  return (
    <ul className={classes.list} aria-label="Runs">
      {runs.map((run) => (
        <li key={`${run.run_id} ${run.created_at ?? ""}`}>
          <button type="button" disabled={run.is_trashed} onClick={() => changeView(toRun(run.run_id))}>
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
          </button>
        </li>
      ))}
    </ul>
  );
}
