// Two parameters together: the mean of the metric for each pair of values.
import { useMemo, type ReactNode } from "react";
import { SelectField } from "@/components/Field";
import { formatNumber, MISSING } from "@/lib/format";
import { valueOf } from "@/lib/rowValues";
import { select } from "@/lib/selection";
import { spreadOf } from "@/lib/statistics";
import { changeView, useParameter } from "@/lib/url";
import type { ExperimentRow } from "@/types/api";
import { binsOf, pairKey, pairsOf } from "../model/bins";
import type { Shared } from "../model/shared";
import classes from "./Parameters.module.css";

export function Heat({ shared }: { readonly shared: Shared }): ReactNode {
  const { swept, short, rows, metric, isLow } = shared;
  const [firstText] = useParameter("across");
  const [secondText] = useParameter("down");
  const across = swept.find((key) => key === firstText) ?? swept[0] ?? "";
  const down = swept.find((key) => key === secondText && key !== across) ?? swept.find((key) => key !== across) ?? "";
  const columns = useMemo(() => binsOf(rows, across), [rows, across]);
  const lines = useMemo(() => binsOf(rows, down), [rows, down]);
  const cells = useMemo(() => pairsOf(rows, across, down, columns, lines), [rows, across, down, columns, lines]);
  const leftOut = columns.numLeftOut + lines.numLeftOut;
  const means = [...cells.values()].flatMap((members) => meanOf(members, metric)?.mean ?? []);
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const options = swept.map((key) => [key, short.get(key) ?? key] as const);
  return (
    <section className={classes.section}>
      <h2>Two parameters</h2>
      <p>
        <SelectField label="across" value={across} options={options} onChange={(value) => changeView({ across: value }, { replace: true })} />{" "}
        <SelectField label="down" value={down} options={options} onChange={(value) => changeView({ down: value }, { replace: true })} /> mean of {metric}, darker is better; click a cell to select its experiments.
        {leftOut === 0 ? "" : ` ${leftOut} further values have no room here.`}
      </p>
      <div className={classes.scroll}>
        <table className={classes.heat}>
          <thead>
            <tr>
              <th scope="col">{short.get(down)}</th>
              {columns.bins.map((bin) => (
                <th key={bin.key} scope="col">
                  {bin.label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {lines.bins.map((line) => (
              <tr key={line.key}>
                <th scope="row">{line.label}</th>
                {columns.bins.map((column) => {
                  const members = cells.get(pairKey(line.key, column.key)) ?? [];
                  const spread = meanOf(members, metric);
                  const share = spread === null || high === low ? 0 : (spread.mean - low) / (high - low);
                  const goodness = Math.round((isLow ? 1 - share : share) * 70);
                  return (
                    <td key={column.key} style={spread === null ? undefined : { background: `color-mix(in srgb, rgb(var(--heat-high)) ${goodness}%, var(--paper))` }}>
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

function meanOf(rows: readonly ExperimentRow[], metric: string): ReturnType<typeof spreadOf> {
  return spreadOf(rows.map((row) => {
    const value = valueOf(row, metric);
    return typeof value === "number" ? value : null;
  })); // prettier-ignore
}
