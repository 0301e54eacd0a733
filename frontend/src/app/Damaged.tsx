// That the log of a run is damaged: what every page shows of it is less than happened.
import type { ReactNode } from "react";
import { useRun } from "@/lib/hub/queries";
import classes from "./Frame.module.css";

export function Damaged({ run }: { readonly run: string }): ReactNode {
  const problem = useRun(run).data?.problem ?? null;
  if (problem === null) return null;
  return (
    <p className={classes.damaged} role="alert">
      {problem}
    </p>
  );
}
