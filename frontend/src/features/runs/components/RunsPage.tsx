// Which run? Every run of the storage, with how it stands.
import { useMediaQuery } from "@mantine/hooks";
import { IconTrash } from "@tabler/icons-react";
import { useDeferredValue, useMemo, useState, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { Command } from "@/components/Command";
import { SelectField, TextField } from "@/components/Field";
import type { GridSort } from "@/components/grid/columns";
import { DataGrid } from "@/components/grid/DataGrid";
import { useRoom } from "@/components/grid/fit";
import { Notice, Problem, Waiting } from "@/components/Notice";
import { useNow } from "@/lib/clock";
import { formatClock } from "@/lib/format";
import { useRuns } from "@/lib/hub/runs";
import { joinNames, splitNames } from "@/lib/lists";
import { changeView, toRun, useParameter } from "@/lib/url";
import type { RunList, RunListQuery, RunStatus, RunSummary } from "@/types/api";
import { Compare } from "./Compare";
import { runColumns } from "./runColumns";
import { EditDialog } from "./EditDialog";
import classes from "./Runs.module.css";
import { RunsList } from "./RunsList";

const MAX_RUNS = 1000;
const STATES: readonly (readonly [string, string])[] = [
  ["", "any state"],
  ["running", "running"],
  ["finished", "finished"],
  ["interrupted", "interrupted"],
  ["crashed", "crashed"],
];

/** Where there are no column heads to click. */
const ORDERS: readonly (readonly [string, string])[] = [
  ["-created_at", "newest first"],
  ["created_at", "oldest first"],
  ["name", "by name"],
  ["-duration_s", "longest first"],
  ["-num_experiments", "most experiments"],
];

export function RunsPage(): ReactNode {
  const isPhone = useMediaQuery("(max-width: 700px)");
  const [search] = useParameter("search");
  const [status] = useParameter("status");
  const [tag] = useParameter("tag");
  // Not `sort`: that is the order of the experiments on the page of a run, and stays in the address beside it.
  const [sortText] = useParameter("order");
  const [trash] = useParameter("trash");
  const sort = useMemo(() => sortOf(sortText), [sortText]);
  const query: RunListQuery = {
    limit: MAX_RUNS,
    sort: sort.column,
    order: sort.isDescending ? "desc" : "asc",
    trash: trash === "1",
    ...(search === null ? {} : { search }),
    ...(status === null ? {} : { status: [status as RunStatus] }),
    ...(tag === null ? {} : { tag: [tag] }),
  };
  const { data, error, refetch, dataUpdatedAt } = useRuns(useDeferredValue(query));
  const isFiltered = search !== null || status !== null || tag !== null;
  return (
    <div className={classes.page}>
      <div className={classes.tools} data-search>
        <h1>{trash === "1" ? "Trash" : "Runs"}</h1>
        <TextField
          label="Search runs"
          isLabelHidden
          isWide
          type="search"
          value={search ?? ""}
          placeholder="name, id, tag or notes"
          onChange={(text) => changeView({ search: text }, { replace: true })}
        />
        {isPhone ? <SelectField label="Sort" value={sortText ?? "-created_at"} options={ORDERS} onChange={(value) => changeView({ order: value }, { replace: true })} /> : null}
        <SelectField label="State" value={status ?? ""} options={STATES} onChange={(value) => changeView({ status: value }, { replace: true })} />
        {tag === null ? null : (
          <Button isOn onClick={() => changeView({ tag: null })}>
            tag {tag} ×
          </Button>
        )}
        <span className="dim number">{data === undefined ? "" : `${data.total} ${data.total === 1 ? "run" : "runs"}`}</span>
        <Button isOn={trash === "1"} icon={<IconTrash />} onClick={() => changeView({ trash: trash === "1" ? null : "1" })}>
          Trash
        </Button>
      </div>
      {data === undefined || error === null ? null : (
        <p className={classes.stale} role="status">
          {error.message} This is how things stood at {formatClock(dataUpdatedAt / 1000)}; the hub is asked again every few seconds.
        </p>
      )}
      {data === undefined ? (
        error === null ? <Waiting what="the runs" /> : <Problem error={error} what="list of runs" onRetry={() => void refetch()} />
      ) : data.runs.length === 0 ? (
        <Nothing isFiltered={isFiltered} isTrash={trash === "1"} />
      ) : (
        <Runs list={data} sort={sort} />
      )}
    </div>
  );
} // prettier-ignore

function sortOf(text: string | null): GridSort {
  if (text === null) return { column: "created_at", isDescending: true };
  return text.startsWith("-") ? { column: text.slice(1), isDescending: true } : { column: text, isDescending: false };
}

function Nothing({ isFiltered, isTrash }: { readonly isFiltered: boolean; readonly isTrash: boolean }): ReactNode {
  if (isFiltered) {
    return (
      <Notice title="No run matches">
        <Button onClick={() => changeView({ search: null, status: null, tag: null })}>Show all</Button>
      </Notice>
    );
  }
  if (isTrash) return <Notice title="The trash is empty">Runs that are deleted come here first, and can be restored.</Notice>;
  return (
    <Notice title="No runs yet">
      <p>Start one, with this storage folder, and it appears here:</p>
      <Command>mlgym run config.yml</Command>
      <p>No config yet? This makes a project with one that runs as it is:</p>
      <Command>mlgym init my-project</Command>
    </Notice>
  );
}

function Runs({ list, sort }: { readonly list: RunList; readonly sort: GridSort }): ReactNode {
  const [chosenText] = useParameter("runs");
  const chosen = useMemo(() => new Set(splitNames(chosenText)), [chosenText]);
  const [edited, setEdited] = useState<RunSummary | null>(null);
  const [isComparing, setComparing] = useState(false);
  const isPhone = useMediaQuery("(max-width: 700px)");
  const now = useNow();
  const toggle = (run: string): void => {
    const next = new Set(chosen);
    if (!next.delete(run)) next.add(run);
    changeView({ runs: joinNames([...next]) }, { replace: true });
  };
  const { ref, room } = useRoom<HTMLDivElement>();
  const columns = runColumns({ runs: list.runs, chosen, now, room, onToggle: toggle, onEdit: setEdited });
  const toSort = (column: string): void => {
    const isDescending = sort.column === column ? !sort.isDescending : column !== "name";
    changeView({ order: (isDescending ? "-" : "") + column }, { replace: true });
  };
  const compared = list.runs.filter((run) => chosen.has(run.run_id));
  return (
    <>
      {compared.length === 0 ? null : (
        <div className={classes.chosen}>
          <span>{compared.length} chosen</span>
          <Button look="primary" disabled={compared.length < 2} onClick={() => setComparing(true)}>
            Compare
          </Button>
          <Button look="quiet" onClick={() => changeView({ runs: null }, { replace: true })}>
            Clear
          </Button>
          {compared.length < 2 ? <span className="dim">Choose another one to compare with.</span> : null}
        </div>
      )}
      {isPhone ? (
        <RunsList runs={list.runs} chosen={chosen} now={now} onToggle={toggle} onEdit={setEdited} />
      ) : (
        <div ref={ref} className={classes.gridBox}>
          <DataGrid
            label="Runs"
            place="runs"
            rows={list.runs}
            columns={columns}
            keyOf={(run) => `${run.run_id} ${run.created_at ?? ""}`}
            sort={sort}
            onSort={toSort}
            onOpen={(run) => (run.is_trashed ? undefined : changeView(toRun(run.run_id)))}
            onToggle={(run) => toggle(run.run_id)}
            isSelected={(run) => chosen.has(run.run_id)}
          />
        </div>
      )}
      {edited === null ? null : <EditDialog key={edited.run_id} run={edited} onClose={() => setEdited(null)} />}
      <Compare runs={compared} isOpen={isComparing && compared.length > 1} onClose={() => setComparing(false)} />
    </>
  );
}
