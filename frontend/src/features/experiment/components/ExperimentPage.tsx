// Everything about one experiment.
import { useQuery } from "@tanstack/react-query";
import { IconArrowLeft, IconArrowRight } from "@tabler/icons-react";
import type { KeyboardEvent, ReactNode } from "react";
import { Button, IconButton } from "@/components/Button";
import { Notice, Problem, Waiting } from "@/components/Notice";
import { Status } from "@/components/Status";
import { countOf, formatValue, shortValue } from "@/lib/format";
import { HubError } from "@/lib/hub/client";
import { experimentQuery } from "@/lib/hub/experiment";
import { useAt, useTable } from "@/lib/hub/queries";
import { toggleSelected, useSelection } from "@/lib/selection";
import { changeView, useParameter } from "@/lib/url";
import type { ExperimentRow, ExperimentTable } from "@/types/api";
import type { PartProps } from "../model/part";
import { Checkpoints } from "./Checkpoints";
import { Config } from "./Config";
import { Curves } from "./Curves";
import classes from "./Experiment.module.css";
import { Files } from "./Files";
import { Logs } from "./Logs";
import { ModelCardPart } from "./ModelCardPart";
import { Overview } from "./Overview";
import { System } from "./System";

const PARTS = [
  ["overview", "Overview"],
  ["curves", "Curves"],
  ["config", "Config"],
  ["checkpoints", "Checkpoints"],
  ["files", "Files"],
  ["logs", "Logs"],
  ["system", "System"],
  ["card", "Model card"],
] as const;

export function ExperimentPage({ run }: { readonly run: string }): ReactNode {
  const [text] = useParameter("experiment");
  const at = useAt();
  const id = text !== null && /^\d{1,9}$/.test(text) ? Number(text) : null;
  const { data: table } = useTable(run);
  const { data: detail, error, refetch } = useQuery({ ...experimentQuery(run, id ?? 0, at), enabled: id !== null });
  if (id === null) return <Choose table={table} />;
  if (error instanceof HubError && error.status === 404 && at !== null && detail === undefined) return <NotYet id={id} at={at} />;
  if (error !== null && detail === undefined) return <Problem error={error} what="experiment" onRetry={() => void refetch()} />;
  const row = table?.rows.find((one) => one.experiment_id === id);
  if (detail === undefined || table === undefined) return <Waiting what="the experiment" />;
  return <Experiment run={run} row={row ?? detail} detail={detail} table={table} />;
}

/** While a run is played from its first event, what is not there is no error. */
function NotYet({ id, at }: { readonly id: number; readonly at: number }): ReactNode {
  return (
    <Notice title={`No experiment ${id} yet`}>
      <p>After {countOf(at, "event")} the run had not come to it. Play on, or go to the end.</p>
    </Notice>
  );
}

function Choose({ table }: { readonly table: ExperimentTable | undefined }): ReactNode {
  const first = table?.rows.find((row) => row.rank === 1) ?? table?.rows[0];
  return (
    <Notice title="Which experiment?">
      <p>Open one from the table, from a chip above, or with Ctrl K.</p>
      {first === undefined ? null : (
        <Button look="primary" onClick={() => changeView({ experiment: String(first.experiment_id) }, { replace: true })}>
          {first.rank === 1 ? `The best one, #${first.experiment_id}` : `The first one, #${first.experiment_id}`}
        </Button>
      )}
    </Notice>
  );
}

function Experiment(props: PartProps): ReactNode {
  const { row, table } = props;
  const [part] = useParameter("part");
  const current = PARTS.find(([name]) => name === part)?.[0] ?? "overview";
  const selection = useSelection();
  const isSelected = selection.set.has(row.experiment_id);
  return (
    <div className={classes.page}>
      <header className={classes.head}>
        <h1>Experiment {row.experiment_id}</h1>
        <Status status={row.status} detail={row.stop_reason === null ? null : "· stopped early"} />
        <span className={classes.swept}>
          {Object.entries(row.swept).map(([key, value]) => (
            <span key={key} title={`${key} ${formatValue(value)}`}>
              {key} <b className="number">{shortValue(value)}</b>
            </span>
          ))}
        </span>
        <span className={classes.space} />
        <Button isOn={isSelected} onClick={() => toggleSelected(row.experiment_id)}>
          {isSelected ? "Selected" : "Select"}
        </Button>
        <Neighbours row={row} table={table} />
      </header>
      <div className={classes.parts} role="tablist" aria-label="About this experiment" onKeyDown={(event) => onTabKey(event, current)}>
        {PARTS.map(([name, title]) => (
          <button key={name} type="button" role="tab" id={`tab-${name}`} aria-selected={name === current} aria-controls="part" tabIndex={name === current ? 0 : -1} onClick={() => toPart(name)}>
            {title}
          </button>
        ))}
      </div>
      <div id="part" role="tabpanel" aria-labelledby={`tab-${current}`} className={classes.body}>
        <Part name={current} {...props} />
      </div>
    </div>
  );
}

type PartName = (typeof PARTS)[number][0];

const toPart = (name: PartName): void => changeView({ part: name === "overview" ? null : name }, { replace: true });

/** Goes from tab to tab by the arrows; all of them are one stop for Tab. */
function onTabKey(event: KeyboardEvent, current: PartName): void {
  const at = PARTS.findIndex(([name]) => name === current);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + PARTS.length, Home: 0, End: PARTS.length - 1 }[event.key];
  const name = to === undefined ? undefined : PARTS[to % PARTS.length]?.[0];
  if (name === undefined) return;
  event.preventDefault();
  toPart(name);
  document.getElementById(`tab-${name}`)?.focus();
}

function Part({ name, ...props }: PartProps & { readonly name: PartName }): ReactNode {
  switch (name) {
    case "overview":
      return <Overview {...props} />;
    case "curves":
      return <Curves {...props} />;
    case "config":
      return <Config {...props} />;
    case "checkpoints":
      return <Checkpoints {...props} />;
    case "files":
      return <Files {...props} />;
    case "logs":
      return <Logs {...props} />;
    case "system":
      return <System {...props} />;
    case "card":
      return <ModelCardPart {...props} />;
  }
}

function Neighbours({ row, table }: { readonly row: ExperimentRow; readonly table: ExperimentTable }): ReactNode {
  const at = table.rows.findIndex((one) => one.experiment_id === row.experiment_id);
  const go = (to: ExperimentRow | undefined): void => {
    if (to !== undefined) changeView({ experiment: String(to.experiment_id) }, { replace: true });
  };
  return (
    <span>
      <IconButton label="The experiment before" disabled={at <= 0} onClick={() => go(table.rows[at - 1])}>
        <IconArrowLeft />
      </IconButton>
      <IconButton label="The next experiment" disabled={at < 0 || at >= table.rows.length - 1} onClick={() => go(table.rows[at + 1])}>
        <IconArrowRight />
      </IconButton>
    </span>
  );
}
