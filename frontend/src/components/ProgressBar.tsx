// How far something is: a bar with its words beside it, never the bar alone.
import type { ReactNode } from "react";
import classes from "./ProgressBar.module.css";

interface Props {
  readonly fraction: number;
  readonly label: string;
  readonly isMuted?: boolean;
}

export function ProgressBar({ fraction, label, isMuted = false }: Props): ReactNode {
  const percent = Math.round(Math.min(1, Math.max(0, fraction)) * 100);
  return (
    <span className={classes.row}>
      <span className={classes.track} role="progressbar" aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100} aria-label={label}>
        <span className={classes.bar} data-muted={isMuted} style={{ width: `${percent}%` }} />
      </span>
      <span className={`${classes.label ?? ""} number`} aria-hidden>
        {label}
      </span>
    </span>
  );
}
