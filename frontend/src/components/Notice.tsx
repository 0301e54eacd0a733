// What a page says instead of its content: why there is nothing, and what to do about it.
import type { ReactNode } from "react";
import { HubError } from "@/lib/hub/client";
import { changeView } from "@/lib/url";
import { Button } from "./Button";
import classes from "./Notice.module.css";

interface Props {
  readonly title: string;
  readonly children?: ReactNode;
  readonly tone?: "calm" | "failed";
}

export function Notice({ title, children, tone = "calm" }: Props): ReactNode {
  return (
    <div className={classes.notice} data-tone={tone} role={tone === "failed" ? "alert" : "status"}>
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Says what failed, in the hub's words, with a way to try again. */
export function Problem({ error, onRetry, what }: { readonly error: unknown; readonly onRetry?: () => void; readonly what: string }): ReactNode {
  const isMissing = error instanceof HubError && error.status === 404;
  const mayNot = error instanceof HubError && (error.status === 401 || error.status === 403);
  return (
    <Notice title={isMissing ? `There is no such ${what}` : `The ${what} could not be read`} tone="failed">
      <p>{error instanceof Error ? error.message : String(error)}</p>
      {mayNot ? <p>If this hub asks for a token, give it under Settings.</p> : null}
      {onRetry === undefined ? null : <Button onClick={onRetry}>Try again</Button>}{" "}
      {isMissing && what === "run" ? <Button onClick={() => changeView({ run_id: null, page: "runs" })}>All runs</Button> : null}
    </Notice>
  );
}

/** Keeps the place of content that comes for the first time; nothing spins. */
export function Waiting({ what }: { readonly what: string }): ReactNode {
  return (
    <div className={classes.waiting} role="status">
      <span className="visually-hidden">Reading {what}</span>
      {[0.7, 0.95, 0.85, 0.6].map((width) => (
        <span key={width} className={classes.bone} style={{ width: `${width * 100}%` }} />
      ))}
    </div>
  );
}
