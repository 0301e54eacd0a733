// What the colours of the charts mean.
import type { ReactNode } from "react";
import { countOf, formatCount } from "@/lib/format";
import { MAX_LINES } from "@/lib/panel/picture";
import type { ExperimentRow, ExperimentTable } from "@/types/api";
import type { Colouring } from "../model/colouring";
import classes from "./Analysis.module.css";

interface Props {
  readonly colouring: Colouring;
  readonly table: ExperimentTable;
  readonly rows: readonly ExperimentRow[];
  /** How many of the best by the metric are shown; null for all. */
  readonly top: number | null;
  readonly metric: string | null;
}

export function Legend({ colouring, table, rows, top, metric }: Props): ReactNode {
  const isCrowded = rows.length > MAX_LINES;
  return (
    <div className={classes.legend}>
      <span>
        {rows.length === table.rows.length ? "" : top === null ? `${formatCount(rows.length)} of ` : `${formatCount(rows.length)}, the best ${top} by ${metric ?? ""}, of `}
        {countOf(table.rows.length, "experiment")}
        {isCrowded ? ", those not selected as one grey layer" : ""}
      </span>
      {isCrowded ? null : (
        <>
          {colouring.column === null ? null : <span>colour: {colouring.column}</span>}
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
