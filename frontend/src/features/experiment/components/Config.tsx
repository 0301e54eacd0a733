// The config of an experiment, with what differs from another one marked, or as it was written.
import { useQuery } from "@tanstack/react-query";
import { useMemo, type ReactNode } from "react";
import { CopyButton } from "@/components/Command";
import { SelectField } from "@/components/Field";
import { formatValue } from "@/lib/format";
import { useAt, useRun } from "@/lib/hub/queries";
import { useParameter } from "@/lib/url";
import type { PartProps } from "../model/part";
import classes from "./Experiment.module.css";
import { diffQuery } from "../api/card";
import { configLines } from "../model/yaml";

const NONE = "";
const WRITTEN = "written";

export function Config({ run, row, detail, table }: PartProps): ReactNode {
  const [chosen, setAgainst] = useParameter("against");
  const { data } = useRun(run);
  const others = table.rows.filter((one) => one.experiment_id !== row.experiment_id).slice(0, 500);
  const against = chosen === WRITTEN || others.some((one) => String(one.experiment_id) === chosen) ? (chosen ?? NONE) : NONE;
  const options = [
    [NONE, "nothing"] as const,
    ...(data?.config_text == null ? [] : [[WRITTEN, "the config as written"] as const]),
    ...others.map((one) => [String(one.experiment_id), `experiment ${one.experiment_id}`] as const),
  ];
  return (
    <>
      <div className={classes.tools}>
        <SelectField label="compare with" value={against} options={options} onChange={setAgainst} />
        <CopyButton text={JSON.stringify(detail.config, null, 2)} label="Copy as JSON" />
      </div>
      <div className={classes.sides}>
        <Lines {...{ run, row, detail, table }} against={against === NONE || against === WRITTEN ? null : Number(against)} />
        {against === WRITTEN ? <pre className={classes.config} tabIndex={0}><div>{data?.config_text}</div></pre> : null}
      </div>
    </>
  );
} // prettier-ignore

function Lines({ run, row, detail, against }: PartProps & { readonly against: number | null }): ReactNode {
  const at = useAt();
  const { data } = useQuery({ ...diffQuery(run, against ?? 0, row.experiment_id, at), enabled: against !== null });
  const lines = useMemo(() => configLines(detail.config), [detail.config]);
  const changes = useMemo(() => new Map((against === null ? [] : (data?.changes ?? [])).map((change) => [change.key.replace(/^components\./, ""), change])), [data, against]);
  if (lines.length === 0) return <p className="dim">The log has no config of this experiment.</p>;
  return (
    <div className={classes.config} tabIndex={0} role="group" aria-label="Config">
      {lines.map((line) => {
        const change = changes.get(line.path.replace(/^components\./, ""));
        return (
          <div key={line.path} data-changed={change !== undefined}>
            {"  ".repeat(line.depth)}
            <b>{line.key}</b> {line.value}
            {change === undefined ? null : <del>{change.kind === "added" ? "not there" : formatValue(change.old)}</del>}
          </div>
        );
      })}
      {[...changes.values()].filter(({ kind }) => kind === "removed").map((change) => (
        <div key={change.key} data-changed>
          <del>
            {change.key}: {formatValue(change.old)}
          </del>
        </div>
      ))}
    </div>
  );
} // prettier-ignore
