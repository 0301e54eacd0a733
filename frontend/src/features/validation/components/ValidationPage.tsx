// May I claim it? What the report says: scores on folds and seeds, intervals, sentences that may be quoted.
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Command, CopyButton } from "@/components/Command";
import { Notice, Problem, Waiting } from "@/components/Notice";
import { useAt, useRun } from "@/lib/hub/queries";
import { reportQuery, type Report } from "@/lib/hub/report";
import { Configurations } from "./Configurations";
import { NestedFolds } from "./NestedFolds";
import { SearchCourse } from "./SearchCourse";
import classes from "./Validation.module.css";

export function ValidationPage({ run }: { readonly run: string }): ReactNode {
  const at = useAt();
  const { data: detail } = useRun(run);
  const { data, error, refetch } = useQuery(reportQuery(run, at, detail?.status === "running"));
  if (data === undefined) return error === null ? <Waiting what="the report" /> : <Problem error={error} what="report" onRetry={() => void refetch()} />;
  return (
    <div className={classes.page}>
      <h1>{data.mode.replaceAll("_", " ")}</h1>
      <p className={classes.lead}>{leadOf(data)}</p>
      {data.selection === null ? (
        <Notice title="Nothing was measured yet">The report begins with the first evaluation.</Notice>
      ) : (
        <>
          <Said report={data} />
          {data.nested === null ? null : <NestedFolds nested={data.nested} inner={data.selection.metric} isLow={data.selection.best === "min"} />}
          {data.search === null ? null : <SearchCourse search={data.search} metric={data.selection.metric} />}
          <Configurations report={data} />
          <DataUse report={data} />
          <Reproductions run={run} report={data} />
        </>
      )}
      <section>
        <h2>The same elsewhere</h2>
        <Command>{`mlgym report ${run} --format latex`}</Command>
      </section>
    </div>
  );
}

function leadOf({ selection, num_configurations: configurations, num_experiments: experiments }: Report): string {
  const of = `${configurations} ${configurations === 1 ? "configuration" : "configurations"}, ${experiments} ${experiments === 1 ? "experiment" : "experiments"}`;
  if (selection === null) return of;
  const way = `${selection.best === "min" ? "lowest" : "highest"} ${selection.metric}`;
  const scored = selection.score === selection.metric ? "" : `; scores are ${selection.score}`;
  return `${of}; ranked by the ${way} at the ${selection.at} epoch${scored}`;
}

function Said({ report }: { readonly report: Report }): ReactNode {
  if (report.claims.length + report.warnings.length + report.missing.length === 0) return null;
  return (
    <section>
      {report.claims.map((claim) => (
        <p key={claim} className={classes.claim}>
          <span>{claim}</span>
          <CopyButton text={claim} label="Copy this sentence" />
        </p>
      ))}
      {[...report.warnings, ...report.missing].map((warning) => (
        <p key={warning} className={classes.warning}>
          {warning}
        </p>
      ))}
    </section>
  );
}

/** A number that can be got again is worth more: which experiments were run again, and what came of it. */
function Reproductions({ run, report }: { readonly run: string; readonly report: Report }): ReactNode {
  if (report.mode === "tracked") {
    return (
      <section>
        <h2>Run again</h2>
        <p className={classes.lead}>Its own program runs it again. To compare the two runs:</p>
        <Command>{`mlgym report ${run} --against OTHER_RUN_ID`}</Command>
      </section>
    );
  }
  return (
    <section>
      <h2>Run again</h2>
      {report.reproductions.length === 0 ? <p className={classes.lead}>No experiment of this run was run again yet. The best one, to begin with:</p> : null}
      {report.reproductions.map((line) => (
        <p key={line} className={classes.lead}>
          {line}
        </p>
      ))}
      <Command>{`mlgym reproduce ${run}`}</Command>
    </section>
  );
}

function DataUse({ report }: { readonly report: Report }): ReactNode {
  if (report.data.length === 0) return null;
  return (
    <section>
      <h2>Which data each number was computed on</h2>
      <table className={`${classes.table ?? ""} ${classes.words ?? ""}`}>
        <tbody>
          {report.data.map((one) => (
            <tr key={one.numbers}>
              <th scope="row" className={classes.left}>
                {one.numbers}
              </th>
              <td className={classes.left}>{one.data}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
