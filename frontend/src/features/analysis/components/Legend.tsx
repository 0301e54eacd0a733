// What the colours of the charts mean.
import type { ReactNode } from "react";
import { countOf, formatCount } from "@/lib/format";
import { MAX_LINES } from "@/lib/panel/picture";
import { TRIAL } from "@/lib/rowValues";
import type { PanelContext } from "../model/context";
import classes from "./Analysis.module.css";

interface Props {
  readonly context: PanelContext;
  /** The one that the best are chosen by. */
  readonly metric: string | null;
}

export function Legend({ context, metric }: Props): ReactNode {
  const { colouring, table, rows, view, plan } = context;
  const isCrowded = rows.length > MAX_LINES;
  return (
    <div className={classes.legend}>
      <span>
        {rows.length === table.rows.length ? "" : view.top === null ? `${formatCount(rows.length)} of ` : `the best ${view.top} by ${metric ?? ""}${rows.length > view.top ? ", and those selected" : ""}, of `}
        {countOf(table.rows.length, "experiment")}
        {isCrowded ? ", those not selected as one grey layer" : ""}
      </span>
      {view.average.length > 0 && view.x !== plan.ask.x ? <span>means are over {plan.ask.x}s</span> : null}
      {isCrowded ? null : (
        <>
          {colouring.column === null ? null : <span>colour: {colouring.column.replace(TRIAL, "").replaceAll("_", " ")}</span>}
          {colouring.legend.map(({ label, colour }) => (
            <span key={label} className={classes.entry} title={label}>
              <i style={{ background: colour }} />
              <span>{label}</span>
            </span>
          ))}
        </>
      )}
    </div>
  );
}
