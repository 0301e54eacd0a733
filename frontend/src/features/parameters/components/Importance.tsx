// How much of the differences of a metric each parameter explains: the same figures that `mlgym report` gives.
import { useQuery } from "@tanstack/react-query";
import { Fragment, type ReactNode } from "react";
import { Problem, Waiting } from "@/components/Notice";
import { formatNumber } from "@/lib/format";
import { useAt, useRun } from "@/lib/hub/queries";
import { reportQuery, type Importances } from "@/lib/hub/report";
import type { Shared } from "../model/shared";
import classes from "./Parameters.module.css";

const MAX_SHOWN = 12;
const LOW_FIT = 0.5;

export function Importance({ run, shared }: { readonly run: string; readonly shared: Shared }): ReactNode {
  const { data: detail } = useRun(run);
  const { data, error, refetch } = useQuery(reportQuery(run, useAt(), detail?.status === "running", shared.metric));
  return (
    <section className={classes.section}>
      <h2>Importance</h2>
      {data === undefined ? (
        error === null ? <Waiting what="the report" /> : <Problem error={error} what="report" onRetry={() => void refetch()} />
      ) : data.importance === null ? (
        <p>It takes two parameters that vary, and enough configurations with a value, to tell them apart.</p>
      ) : (
        <Shares importance={data.importance} shared={shared} />
      )}
    </section>
  );
} // prettier-ignore

function Shares({ importance, shared }: { readonly importance: Importances; readonly shared: Shared }): ReactNode {
  const { method, shares, unexplained, fit, num_configurations: configurations } = importance;
  const isWeak = fit !== null && fit < LOW_FIT;
  return (
    <>
      <p>
        Share of the variance of {shared.metric} between {configurations} configurations.{" "}
        {method === "anova" ? "Exact, over the complete grid." : `By a random forest, which explains ${percent(fit)} of configurations that it did not see${isWeak ? ": the shares say little" : ""}.`}{" "}
        {percent(unexplained)} is left for more of them together.
      </p>
      <dl className={classes.bars}>
        {shares.slice(0, MAX_SHOWN).map(({ keys, share }) => (
          <Fragment key={keys.join("\n")}>
            <dt title={keys.join(" together with ")}>{keys.map((key) => shared.short.get(key) ?? key).join(" × ")}</dt>
            <dd>
              <span className={classes.bar} style={{ width: `${Math.max(0, Math.min(1, share)) * 100}%`, opacity: isWeak ? 0.4 : 1 }} />
            </dd>
            <dd className="number">{percent(share)}</dd>
          </Fragment>
        ))}
      </dl>
    </>
  );
}

function percent(share: number | null): string {
  if (share === null) return "nothing";
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${share < 0.1 && share > 0 ? formatNumber(share * 100, 2) : (share * 100).toFixed(0)} %`;
}
