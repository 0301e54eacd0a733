// What is known of a failure: error, exit signal, stack trace, last lines; all to copy.
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Button } from "@/components/Button";
import { CopyButton } from "@/components/Command";
import { Trace } from "@/components/Trace";
import { withoutAnsi } from "@/lib/ansi";
import { experimentQuery } from "@/lib/hub/experiment";
import { useAt } from "@/lib/hub/queries";
import { changeView, toPage } from "@/lib/url";
import type { ExperimentRow } from "@/types/api";
import { causeOf } from "../model/items";
import classes from "./Flow.module.css";

interface Props {
  readonly run: string;
  readonly row: ExperimentRow;
  readonly alike: readonly ExperimentRow[];
}

export function Failure({ run, row, alike }: Props): ReactNode {
  const { data } = useQuery(experimentQuery(run, row.experiment_id, useAt()));
  const tail = data?.log_tail.map(withoutAnsi).join("\n") ?? "";
  const trace = data?.stacktrace ?? "";
  const others = alike.filter((one) => one !== row);
  return (
    <div className={classes.failure}>
      <h3>{row.error ?? `ended by ${row.exit_signal ?? "an unknown cause"}`}</h3>
      <div className={classes.facts}>
        {row.exit_signal === null ? null : <span>signal {row.exit_signal}</span>}
        <span>attempt {row.attempt + 1}</span>
        {others.length === 0 ? null : (
          <Button look="quiet" title={causeOf(row)} onClick={() => changeView({ filter: `error~"${escaped(causeOf(row))}"` })}>
            {others.length} alike: {others.slice(0, 6).map((one) => one.experiment_id).join(", ")}{others.length > 6 ? " …" : ""}
          </Button>
        )}
        <Button look="quiet" onClick={() => changeView(toPage("experiment", { experiment: String(row.experiment_id), part: "logs" }))}>
          All log lines
        </Button>
      </div>
      {trace === "" ? null : <Text title="Stack trace" text={trace} />}
      {tail === "" ? null : <Text title="Last lines" text={tail} />}
    </div>
  );
} // prettier-ignore

/** Gives the regular expression that finds the same cause with any numbers. */
function escaped(cause: string): string {
  return cause.split("N").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/["\\]/g, "\\$&")).join("\\\\S+"); // prettier-ignore
}

function Text({ title, text }: { readonly title: string; readonly text: string }): ReactNode {
  return (
    <section>
      <div className={classes.facts}>
        {title}
        <CopyButton text={text} label={`Copy: ${title}`} />
      </div>
      <Trace text={text} />
    </section>
  );
}
