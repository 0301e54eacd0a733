// Which run, how it stands, whether what is shown is live.
import { IconChevronDown, IconMoon, IconSearch, IconSun } from "@tabler/icons-react";
import { useMemo, type ReactNode } from "react";
import { Button, IconButton } from "@/components/Button";
import { Panel } from "@/components/Panel";
import { Status } from "@/components/Status";
import { useNow } from "@/lib/clock";
import { plannedExperiments, remainingOfRun } from "@/lib/eta";
import { formatAge, formatDuration, formatMoment } from "@/lib/format";
import { useAt, useRun, useTable } from "@/lib/hub/queries";
import { useRuns } from "@/lib/hub/runs";
import { retryNow, useConnection } from "@/lib/live/client";
import { chooseScheme, useScheme } from "@/lib/scheme";
import { changeView, toRun, usePage } from "@/lib/url";
import { useVitalSigns } from "@/lib/useVitalSigns";
import { BeingRead } from "./BeingRead";
import classes from "./Header.module.css";

export function Header({ run, onPalette }: { readonly run: string | null; readonly onPalette: () => void }): ReactNode {
  const scheme = useScheme();
  return (
    <header className={classes.header}>
      <button type="button" className={classes.brand} aria-label="MLboard" onClick={() => changeView({ page: "runs", experiment: null })}>
        <img src="./icon.svg" alt="" width={18} height={18} />
        <span>MLboard</span>
      </button>
      <div className={classes.run}>{run === null ? null : <RunState run={run} />}</div>
      {run === null ? null : <Connection />}
      <span className={classes.search}>
        <Button look="quiet" icon={<IconSearch />} onClick={onPalette} title="Go to a run, an experiment or a page">
          <kbd>Ctrl K</kbd>
        </Button>
      </span>
      <IconButton label={scheme === "dark" ? "Light colours" : "Dark colours"} onClick={() => chooseScheme(scheme === "dark" ? "light" : "dark")}>
        {scheme === "dark" ? <IconSun /> : <IconMoon />}
      </IconButton>
    </header>
  );
}

function RunState({ run }: { readonly run: string }): ReactNode {
  const { data } = useRun(run);
  useVitalSigns(run);
  const name = data?.name ?? run;
  return (
    <>
      <Panel label={name} icon={<IconChevronDown />} width={340}>
        {(close) => <RunChoices current={run} onChosen={close} />}
      </Panel>
      {data === undefined ? (
        <BeingRead key={run} run={run} />
      ) : (
        <span className={classes.state}>
          {name === run ? null : <span className={`${classes.id ?? ""} number`}>{run}</span>}
          <Status status={data.status} />
          <Counts run={run} />
        </span>
      )}
    </>
  );
}

function Counts({ run }: { readonly run: string }): ReactNode {
  const { data: detail } = useRun(run);
  const { data: table } = useTable(run);
  const at = useAt();
  const now = useNow();
  const left = useMemo(() => {
    if (detail?.status !== "running" || table === undefined) return null;
    const until = at === null ? now : (detail.last_event_at ?? now);
    return remainingOfRun(table.rows, detail.num_experiments, until);
  }, [detail, table, at, now]);
  if (detail === undefined) return null;
  const { counts } = detail;
  const total = plannedExperiments(detail);
  const ended = counts.done + counts.failed;
  return (
    <>
      <span className="number dim">
        {ended}/{total}
      </span>
      {counts.failed > 0 ? <span className={classes.failed}>{counts.failed} failed</span> : null}
      {left === null ? null : <span className="number dim">{formatDuration(left)} left</span>}
    </>
  );
}

function RunChoices({ current, onChosen }: { readonly current: string; readonly onChosen: () => void }): ReactNode {
  const { data } = useRuns({ limit: 50 });
  const page = usePage();
  const open = (run: string): void => {
    changeView(toRun(run, page === "runs" || page === "settings" || page === "experiment" ? "flow" : page));
    onChosen();
  };
  return (
    <ul className={classes.choices}>
      {data?.runs.map((one) => (
        <li key={one.run_id}>
          <button type="button" aria-current={one.run_id === current ? "true" : undefined} onClick={() => open(one.run_id)}>
            <span className={classes.choice}>{one.name ?? one.run_id}</span>
            <Status status={one.status} />
            <span className="number dim">{formatMoment(one.created_at)}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function Connection(): ReactNode {
  const { state, since, reason, retryAt } = useConnection();
  const now = useNow();
  if (state === "live" || state === "off") return null;
  const age = Math.max(0, now - since / 1000);
  if (state === "connecting" && age < 2) return null;
  const wait = retryAt === null ? null : Math.max(0, Math.round(retryAt / 1000 - now));
  return (
    <span className={classes.lost} role="status" title={reason ?? undefined}>
      {state === "connecting" ? "Connecting" : `Not connected: lost ${formatAge(age)}`}
      {wait === null ? "" : `, trying again in ${wait} s`}
      <Button look="quiet" onClick={retryNow}>
        Now
      </Button>
    </span>
  );
}
