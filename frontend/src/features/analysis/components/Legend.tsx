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
}

export function Legend({ colouring, table, rows }: Props): ReactNode {
  const isCrowded = rows.length > MAX_LINES;
  return (
    <div className={classes.legend}>
      <span>
        {rows.length === table.rows.length ? "" : `${formatCount(rows.length)} of `}
        {countOf(table.rows.length, "experiment")}
        {isCrowded ? ", those not selected as one grey layer" : ""}
      </span>
      {isCrowded ? null : (
        <>
          {colouring.column === null ? null : <span>colour: {colouring.column}</span>}
          {colouring.legend.map(({ label, colour }) => (
            <span key={label}>
              <i style={{ background: colour }} />
              {label}
            </span>
          ))}
        </>
      )}
    </div>
  );
}
