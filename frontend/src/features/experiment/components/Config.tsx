// The config of an experiment, with what differs from another one marked, or as it was written.
import { useQuery } from "@tanstack/react-query";
import { useMemo, type ReactNode } from "react";
import { CopyButton } from "@/components/Command";
import { CheckField, SelectField } from "@/components/Field";
import { countOf, formatValue } from "@/lib/format";
import { useAt, useRun } from "@/lib/hub/queries";
import { useParameter } from "@/lib/url";
import type { PartProps } from "../model/part";
import classes from "./Experiment.module.css";
import { diffQuery } from "../api/card";
import { configLines, marked, type Change } from "../model/yaml";

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
  const [onlyText, setOnly] = useParameter("diff");
  const { data, error } = useQuery({ ...diffQuery(run, against ?? 0, row.experiment_id, at), enabled: against !== null });
  const lines = useMemo(() => configLines(detail.config), [detail.config]);
  const { changes, others } = useMemo(() => marked(lines, against === null ? [] : (data?.changes ?? [])), [lines, data, against]);
  if (lines.length === 0) return <p className="dim">The log has no config of this experiment.</p>;
  const isOnly = against !== null && onlyText === "1";
  const shown = isOnly ? lines.filter(({ path }) => changes.has(path)) : lines;
  return (
    <div>
      {against === null ? null : (
        <div className={classes.tools}>
          <CheckField label="only what differs" isOn={isOnly} onChange={(isOn) => setOnly(isOn ? "1" : null)} />
          <span className="dim">{error !== null ? error.message : data === undefined ? "" : countOf(data.changes.length, "difference")}</span>
        </div>
      )}
      <div className={classes.config} tabIndex={0} role="group" aria-label="Config">
        {shown.map((line) => (
          <div key={line.path} data-changed={changes.has(line.path)}>
            {isOnly ? <b>{line.path}:</b> : <>{"  ".repeat(line.depth)}<b>{line.key}</b></>} {line.value}
            {changes.get(line.path)?.map((change) => <Before key={change.key} change={change} path={line.path} />)}
          </div>
        ))}
        {others.map((change) => (
          <div key={change.key} data-changed>
            <b>{change.key}:</b> {change.kind === "removed" ? "" : formatValue(change.new)}
            <Before change={change} path={change.key} />
          </div>
        ))}
        {shown.length + others.length === 0 ? <div className="dim">Nothing differs.</div> : null}
      </div>
    </div>
  );
} // prettier-ignore

/** What the other config has there; of a part of a list or mapping with its place. */
function Before({ change, path }: { readonly change: Change; readonly path: string }): ReactNode {
  const within = change.key.replace(/^components\./, "").slice(path.replace(/^components\./, "").length + 1);
  return (
    <del>
      {within === "" ? "" : `${within}: `}
      {change.kind === "added" ? "not there" : formatValue(change.old)}
    </del>
  );
}
