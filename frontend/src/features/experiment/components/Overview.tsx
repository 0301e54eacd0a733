// How an experiment stands, what it reached, where it ran, and whether it was reproduced.
import { useMemo, type ReactNode } from "react";
import { Command, CopyButton } from "@/components/Command";
import { ProgressBar } from "@/components/ProgressBar";
import { Trace } from "@/components/Trace";
import { Verdict } from "@/components/Verdict";
import { withoutAnsi } from "@/lib/ansi";
import { useNow } from "@/lib/clock";
import { durationOf, remainingOf } from "@/lib/eta";
import { formatBytes, formatDuration, formatNumber, formatValue, formatWhole, MISSING, numberOf } from "@/lib/format";
import { useAt, useRun } from "@/lib/hub/queries";
import { epochOf, epochsOver } from "@/lib/progress";
import { columnsOf } from "@/lib/rowValues";
import { changeView, toRun } from "@/lib/url";
import type { RunDetail } from "@/types/api";
import { environmentFacts, packagesOf } from "../model/environment";
import type { PartProps } from "../model/part";
import { configLines } from "../model/yaml";
import classes from "./Experiment.module.css";
import { Graph } from "./Graph";

export function Overview(props: PartProps): ReactNode {
  const { run, detail } = props;
  const { data } = useRun(run);
  return (
    <>
      {props.row.status === "failed" ? <Failed {...props} /> : null}
      <div className={classes.columns}>
        <section className={classes.section}>
          <h2>State</h2>
          <State {...props} of={data} />
        </section>
        <section className={classes.section}>
          <h2>Metrics</h2>
          <Metrics {...props} />
        </section>
        <section className={classes.section}>
          <h2>Reproduction</h2>
          <Reproduction {...props} of={data} />
        </section>
        {detail.tables.map((table) => (
          <section key={table.key} className={classes.section}>
            <h2>
              {table.key} <small className="dim">at epoch {table.epoch}</small>
            </h2>
            <Matrix values={table.values} />
          </section>
        ))}
        <section className={classes.section}>
          <h2>Environment</h2>
          <Environment of={data} />
        </section>
      </div>
      <section className={classes.section}>
        <h2>Components</h2>
        <Graph config={detail.config} />
      </section>
    </>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ReactNode }): ReactNode {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function State({ row, detail, of }: PartProps & { readonly of: RunDetail | undefined }): ReactNode {
  const [clock, at] = [useNow(), useAt()];
  const now = at === null && of?.status === "running" ? clock : (of?.last_event_at ?? clock);
  const { progress } = row;
  const left = remainingOf(row, now);
  return (
    <dl className={classes.facts}>
      {progress === null ? null : (
        <Fact name="epoch">
          <ProgressBar fraction={row.status === "done" ? 1 : progress.fraction} label={`${row.status === "running" ? epochOf(progress) : epochsOver(row)} of ${progress.num_epochs}`} isMuted={row.status !== "running"} />
        </Fact>
      )}
      {progress !== null && row.status === "running" ? (
        <Fact name={progress.phase}>
          <ProgressBar fraction={progress.num_batches === 0 ? 0 : progress.batch / progress.num_batches} label={`${progress.split} ${progress.batch}/${progress.num_batches}`} />
        </Fact>
      ) : null}
      {row.stop_reason === null ? null : <Fact name="stopped early">{row.stop_reason}</Fact>}
      <Fact name="time">
        {formatDuration(durationOf(row, now))}
        {left === null ? "" : `, ${formatDuration(left)} left`}
      </Fact>
      <Fact name="started">{formatWhole(row.started_at)}</Fact>
      <Fact name="device">{row.device ?? MISSING}</Fact>
      {row.steps_per_s === null ? null : <Fact name="rate">{formatNumber(row.steps_per_s, 3)} steps/s</Fact>}
      {row.rss_bytes === null ? null : <Fact name="memory">{formatBytes(row.rss_bytes)}</Fact>}
      {detail.num_parameters === null ? null : <Fact name="parameters">{detail.num_parameters.toLocaleString("en")}</Fact>}
      <Fact name="attempt">
        {row.attempt + 1}
        {detail.lineage > 0 ? `, in lineage ${detail.lineage}` : ""}
      </Fact>
      {Object.entries(row.trial).filter(([, value]) => value !== null).map(([key, value]) => (
        <Fact key={key} name={key.replaceAll("_", " ")}>
          {formatValue(value)}
        </Fact>
      ))}
    </dl>
  );
} // prettier-ignore

function Metrics({ row, table }: PartProps): ReactNode {
  const keys = columnsOf(table.columns, "metric").filter((key) => Object.hasOwn(row.latest, key));
  if (keys.length === 0) return <p className="dim">Nothing was measured yet.</p>;
  return (
    <div className={classes.scroll}>
      <table className={classes.table}>
        <thead>
          <tr>
            <th scope="col">metric</th>
            <th scope="col">last</th>
            <th scope="col">best</th>
            <th scope="col">at epoch</th>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <tr key={key}>
              <th scope="row">{key}</th>
              <td>{formatNumber(numberOf(row.latest[key]))}</td>
              <td>{formatNumber(numberOf(row.best[key]))}</td>
              <td>{row.best[key]?.epoch ?? MISSING}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Reproduction({ run, row, detail, of }: PartProps & { readonly of: RunDetail | undefined }): ReactNode {
  const found = detail.reproduction;
  const isOver = row.status !== "waiting" && row.status !== "running";
  const other = found === null ? "" : found.new_run_id === run ? found.original_run_id : found.new_run_id;
  return (
    <>
      {found === null ? (
        <p className="dim">{isOver ? "Nobody ran it again yet." : "There is nothing to compare with yet."}</p>
      ) : (
        <dl className={classes.facts}>
          <Fact name="verdict">
            <Verdict verdict={found.verdict} epoch={found.epoch} />
          </Fact>
          <Fact name="compared">{found.num_digests} digests of parameters and optimizer</Fact>
          {found.epoch === null ? null : (
            <Fact name="they part">
              at epoch {found.epoch}
              {found.step === null ? "" : `, step ${found.step}`}
              {found.tensor === null ? "" : `, in ${found.tensor}`}
            </Fact>
          )}
          <Fact name={found.new_run_id === run ? "repeats run" : "run again as"}>
            <button type="button" className={classes.link} onClick={() => changeView({ ...toRun(other, "experiment"), experiment: String(row.experiment_id) })}>
              {other}
            </button>
          </Fact>
        </dl>
      )}
      {of?.validation_mode === "tracked" ? (
        <>
          <p className="dim">Its own program runs it again. To compare the two runs:</p>
          <Command>{`mlgym report ${run} --against OTHER_RUN_ID`}</Command>
        </>
      ) : (
        <>
          <p className="dim">{isOver ? "To run it again and compare:" : "To run it again and compare, once it is done:"}</p>
          <Command>{`mlgym reproduce ${run} --experiment ${row.experiment_id}`}</Command>
        </>
      )}
      {detail.digest === null ? null : (
        <span className={classes.hash}>
          parameters at epoch {detail.digest.epoch}: {detail.digest.parameters.slice(0, 16)}…
          <CopyButton text={detail.digest.parameters} label="Copy the hash" />
        </span>
      )}
    </>
  );
}

function Failed({ row, detail }: PartProps): ReactNode {
  const text = [detail.stacktrace ?? "", detail.log_tail.map(withoutAnsi).join("\n")].filter(Boolean).join("\n");
  return (
    <section className={classes.failed}>
      <header>
        <h2>{row.error ?? "It failed"}</h2>
        {text === "" ? null : <CopyButton text={text} label="Copy the stack trace" />}
      </header>
      {row.exit_signal === null ? null : <p>Its process was ended by {row.exit_signal}.</p>}
      {text === "" ? null : <Trace text={text} />}
    </section>
  );
}

function Matrix({ values }: { readonly values: readonly (readonly (number | null)[])[] }): ReactNode {
  const most = Math.max(...values.flat().map((value) => Math.abs(value ?? 0)), Number.MIN_VALUE);
  return (
    <div className={classes.scroll}>
      <table className={classes.table}>
        <tbody>
          {values.map((cells, i) => (
            <tr key={i}>
              <th scope="row">{i}</th>
              {cells.map((value, j) => (
                <td key={j} style={{ background: `color-mix(in srgb, rgb(var(--heat-high)) ${Math.round((Math.abs(value ?? 0) / most) * 70)}%, var(--paper))` }}>
                  {formatNumber(value)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Environment({ of }: { readonly of: RunDetail | undefined }): ReactNode {
  if (of === undefined) return null;
  const packages = packagesOf(of.environment);
  return (
    <>
      {of.command.length === 0 ? null : <Command>{of.command.join(" ")}</Command>}
      <dl className={classes.facts}>
        {environmentFacts(of.environment, of.versions).map(([name, value]) => (
          <Fact key={name} name={name}>
            {value}
          </Fact>
        ))}
      </dl>
      {packages.length === 0 ? null : (
        <details className={classes.more}>
          <summary>{packages.length} packages</summary>
          <dl className={classes.facts}>
            {packages.map(([name, version]) => (
              <Fact key={name} name={name}>
                {version}
              </Fact>
            ))}
          </dl>
        </details>
      )}
      {Object.keys(of.environment).length === 0 ? null : (
        <details className={classes.more}>
          <summary>everything, as recorded</summary>
          <Recorded environment={of.environment} />
        </details>
      )}
    </>
  );
}

function Recorded({ environment }: { readonly environment: Readonly<Record<string, unknown>> }): ReactNode {
  const lines = useMemo(() => configLines(environment), [environment]);
  return (
    <pre className={classes.recorded} tabIndex={0}>
      {lines.map((line) => `${"  ".repeat(line.depth)}${line.key} ${line.value}`).join("\n")}
    </pre>
  );
}
