// Two parameters together: the mean of the metric for each pair of values.
import { useMemo, type ReactNode } from "react";
import { SelectField } from "@/components/Field";
import { formatNumber, formatValue, MISSING } from "@/lib/format";
import { valueOf } from "@/lib/rowValues";
import { select } from "@/lib/selection";
import { spreadOf } from "@/lib/statistics";
import { changeView, useParameter } from "@/lib/url";
import type { ExperimentRow } from "@/types/api";
import { distinctValues } from "../model/axes";
import type { Shared } from "../model/shared";
import classes from "./Parameters.module.css";

const MAX_VALUES = 24;

export function Heat({ shared }: { readonly shared: Shared }): ReactNode {
  const { swept, short, rows, metric, isLow } = shared;
  const [firstText] = useParameter("across");
  const [secondText] = useParameter("down");
  const across = swept.find((key) => key === firstText) ?? swept[0] ?? "";
  const down = swept.find((key) => key === secondText && key !== across) ?? swept.find((key) => key !== across) ?? "";
  const columns = useMemo(() => distinctValues(rows, across).slice(0, MAX_VALUES), [rows, across]);
  const lines = useMemo(() => distinctValues(rows, down).slice(0, MAX_VALUES), [rows, down]);
  const cells = useMemo(() => cellsOf(rows, across, down), [rows, across, down]);
  const means = [...cells.values()].flatMap((members) => meanOf(members, metric)?.mean ?? []);
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const options = swept.map((key) => [key, short.get(key) ?? key] as const);
  return (
    <section className={classes.section}>
      <h2>Two parameters</h2>
      <p>
        <SelectField label="across" value={across} options={options} onChange={(value) => changeView({ across: value }, { replace: true })} />{" "}
        <SelectField label="down" value={down} options={options} onChange={(value) => changeView({ down: value }, { replace: true })} /> mean of {metric}, darker is better; click a cell to select its experiments.
      </p>
      <div className={classes.scroll}>
        <table className={classes.heat}>
          <thead>
            <tr>
              <th scope="col">{short.get(down)}</th>
              {columns.map((value) => (
                <th key={String(value)} scope="col">
                  {formatValue(value)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {lines.map((line) => (
              <tr key={String(line)}>
                <th scope="row">{formatValue(line)}</th>
                {columns.map((column) => {
                  const members = cells.get(`${String(line)}\n${String(column)}`) ?? [];
                  const spread = meanOf(members, metric);
                  const share = spread === null || high === low ? 0 : (spread.mean - low) / (high - low);
                  const goodness = Math.round((isLow ? 1 - share : share) * 70);
                  return (
                    <td key={String(column)} style={spread === null ? undefined : { background: `color-mix(in srgb, rgb(var(--heat-high)) ${goodness}%, var(--paper))` }}>
                      <button type="button" disabled={members.length === 0} onClick={() => select(members.map((row) => row.experiment_id))}>
                        {spread === null ? MISSING : formatNumber(spread.mean)}
                        {members.length > 1 ? <small>of {spread?.n ?? 0}</small> : null}
                      </button>
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function cellsOf(rows: readonly ExperimentRow[], across: string, down: string): Map<string, ExperimentRow[]> {
  const cells = new Map<string, ExperimentRow[]>();
  for (const row of rows) {
    const key = `${String(valueOf(row, down))}\n${String(valueOf(row, across))}`;
    cells.set(key, [...(cells.get(key) ?? []), row]);
  }
  return cells;
}

function meanOf(rows: readonly ExperimentRow[], metric: string): ReturnType<typeof spreadOf> {
  return spreadOf(rows.map((row) => {
    const value = valueOf(row, metric);
    return typeof value === "number" ? value : null;
  })); // prettier-ignore
}
