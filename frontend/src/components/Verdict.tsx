// What came of running something again: a word and an icon, never colour alone.
import { IconAlertTriangle, IconEqual, IconTilde } from "@tabler/icons-react";
import type { ReactNode } from "react";
import classes from "./Verdict.module.css";

const WORDS: Readonly<Record<string, string>> = { identical: "identical", within_tolerance: "nearly equal", diverged: "differs" };
const ICONS: Readonly<Record<string, typeof IconEqual>> = { identical: IconEqual, within_tolerance: IconTilde, diverged: IconAlertTriangle };

interface Props {
  readonly verdict: string | null;
  readonly epoch?: number | null;
  readonly title?: string;
  readonly more?: string;
}

export function Verdict({ verdict, epoch = null, title, more = "" }: Props): ReactNode {
  if (verdict === null) {
    return (
      <span className="dim" title="nobody ran it again yet">
        not tried
      </span>
    );
  }
  const Icon = ICONS[verdict] ?? IconAlertTriangle;
  const where = epoch === null || verdict === "identical" ? "" : ` at epoch ${epoch}`;
  return (
    <span className={classes.verdict} data-verdict={verdict} title={title}>
      <Icon className={classes.icon} aria-hidden />
      {WORDS[verdict] ?? verdict}
      {where}
      {more}
    </span>
  );
}
