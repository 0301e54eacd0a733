// The state of an experiment or a run: always a word or an icon beside the colour.
import { IconAlertTriangle, IconCheck, IconCircleFilled, IconHourglass, IconPlayerPause, IconX } from "@tabler/icons-react";
import type { ReactNode } from "react";
import classes from "./Status.module.css";

const ICONS: Record<string, typeof IconCheck> = {
  waiting: IconHourglass,
  running: IconCircleFilled,
  done: IconCheck,
  finished: IconCheck,
  failed: IconX,
  crashed: IconAlertTriangle,
  interrupted: IconPlayerPause,
  paused: IconPlayerPause,
};

export function Status({ status, detail, title }: { readonly status: string; readonly detail?: string | null; readonly title?: string | undefined }): ReactNode {
  const Icon = ICONS[status] ?? IconHourglass;
  return (
    <span className={classes.status} data-status={status} title={title}>
      <Icon className={classes.icon} aria-hidden />
      {status}
      {detail ? <span className={classes.detail}>{detail}</span> : null}
    </span>
  );
}
