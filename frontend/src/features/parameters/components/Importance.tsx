// How much of the differences of a metric each parameter explains by itself.
import { Fragment, useMemo, type ReactNode } from "react";
import { formatValue } from "@/lib/format";
import { valueOf } from "@/lib/rowValues";
import { varianceExplained } from "@/lib/statistics";
import type { Shared } from "../model/shared";
import classes from "./Parameters.module.css";

const MIN_EXPERIMENTS = 4;

export function Importance({ shared }: { readonly shared: Shared }): ReactNode {
  const { rows, metric, swept, short } = shared;
  const shares = useMemo(() => {
    const measured = rows.flatMap((row) => {
      const value = valueOf(row, metric);
      return typeof value === "number" && Number.isFinite(value) ? [[row, value] as const] : [];
    });
    const found = swept.map((key) => {
      const pairs = measured.map(([row, value]) => [formatValue(valueOf(row, key)), value] as const);
      return { key, share: varianceExplained(pairs), values: new Set(pairs.map(([x]) => x)).size, n: pairs.length };
    });
    return found.sort((a, b) => (b.share ?? -1) - (a.share ?? -1));
  }, [rows, metric, swept]);
  const n = shares[0]?.n ?? 0;
  return (
    <section className={classes.section}>
      <h2>Importance</h2>
      {n < MIN_EXPERIMENTS ? (
        <p>
          {n} experiments are too few to tell parameters apart; from {MIN_EXPERIMENTS} on this says what explains most.
        </p>
      ) : (
        <>
          <p>Share of the variance of {metric} over {n} experiments that lies between the values of one parameter (η²). A parameter with nearly as many values as there are experiments explains much by chance.</p>
          <dl className={classes.bars}>
            {shares.map(({ key, share, values }) => (
              <Fragment key={key}>
                <dt title={key}>{short.get(key) ?? key}</dt>
                <dd>
                  <span className={classes.bar} style={{ width: `${(share ?? 0) * 100}%`, opacity: values > n / 2 ? 0.4 : 1 }} />
                </dd>
                <dd className="number">
                  {share === null ? "nothing varies" : `${(share * 100).toFixed(0)} %`} <span className="dim">{values} values</span>
                </dd>
              </Fragment>
            ))}
          </dl>
        </>
      )}
    </section>
  );
}
