// The table on a phone: a list with what matters most, each line opens everything.
import type { ReactNode } from "react";
import { Status } from "@/components/Status";
import { formatNumber, shortKeys, shortValue } from "@/lib/format";
import { columnsOf, valueOf } from "@/lib/rowValues";
import { toggleSelected, type Selection } from "@/lib/selection";
import { changeView, toPage } from "@/lib/url";
import type { ExperimentTable } from "@/types/api";
import { failureOf, progressCell, shownStatus } from "./cells";
import type { FlowView } from "../model/useFlowView";
import classes from "./Flow.module.css";

interface Props {
  readonly view: FlowView;
  readonly table: ExperimentTable;
  readonly selection: Selection;
}

const MAX_LINES = 300;

export function FlowList({ view, table, selection }: Props): ReactNode {
  const swept = columnsOf(table.columns, "swept");
  const short = shortKeys(swept);
  // The one that decides stands first.
  const numbers = view.shown.filter(({ group }) => group === "metrics").slice(0, 2); // prettier-ignore
  return (
    <ul className={classes.list} aria-label="Experiments">
      {view.rows.slice(0, MAX_LINES).map((row) => (
        <li key={row.experiment_id} data-selected={selection.set.has(row.experiment_id)}>
          <input
            type="checkbox"
            className={classes.select}
            checked={selection.set.has(row.experiment_id)}
            aria-label={`Select experiment ${row.experiment_id}`}
            onChange={() => toggleSelected(row.experiment_id)}
          />
          <button type="button" className={classes.open} onClick={() => changeView(toPage("experiment", { experiment: String(row.experiment_id) }))}>
            <b className="number">{row.experiment_id}</b> <Status status={shownStatus(row)} />
            <br />
            <span className="dim">{swept.slice(0, 3).map((key) => `${short.get(key) ?? key} ${shortValue(row.swept[key])}`).join(" · ")}</span>
          </button>
          <span className={classes.numbers}>
            {numbers.filter(({ id }) => row.status !== "failed" || valueOf(row, id) !== null).map((column) => (
              <span key={column.id}>
                <small>{column.title}</small> {formatNumber(valueOf(row, column.id) as number | null)}
              </span>
            ))}
          </span>
          {row.status === "running" ? <span className={classes.line}>{progressCell(row)}</span> : null}
          {failureOf(row) === null ? null : <span className={`${classes.line ?? ""} ${classes.error ?? ""}`}>{failureOf(row)}</span>}
        </li>
      ))}
      {view.rows.length > MAX_LINES ? <li className="dim">{view.rows.length - MAX_LINES} more: filter to see them</li> : null}
    </ul>
  );
} // prettier-ignore
