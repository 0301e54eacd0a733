// The panels above the table: groups, columns, downloads.
import { IconArrowDown, IconArrowUp, IconColumns3, IconDownload, IconPin, IconPinFilled, IconStack2 } from "@tabler/icons-react";
import { useState, type ReactNode } from "react";
import { Button, IconButton } from "@/components/Button";
import { CheckField, SelectField, TextField } from "@/components/Field";
import { Panel } from "@/components/Panel";
import { csvOf, saveBlob, saveText } from "@/lib/download";
import { getBlob, runRoute } from "@/lib/hub/client";
import { useAt } from "@/lib/hub/queries";
import { joinNames } from "@/lib/lists";
import { LATEST, valueOf } from "@/lib/rowValues";
import { changeView } from "@/lib/url";
import type { FlowColumn } from "../model/columns";
import { groupTable } from "../model/items";
import { sortFirst, type FlowView } from "../model/useFlowView";
import classes from "./Flow.module.css";

export function GroupChoice({ view }: { readonly view: FlowView }): ReactNode {
  const choices = view.columns.filter(({ group, id }) => group === "parameters" || group === "validation" || id === "device" || id === "status");
  const toggle = (id: string): void => {
    const next = view.groupBy.includes(id) ? view.groupBy.filter((one) => one !== id) : [...view.groupBy, id];
    changeView({ group: joinNames(next), open: null }, { replace: true });
  };
  const names = view.groupBy.map((id) => view.columns.find((column) => column.id === id)?.title ?? id);
  return (
    <Panel label={names.length === 0 ? "Group" : `By ${names.join(", ")}`} icon={<IconStack2 />}>
      <p className={classes.heading}>One row for each combination, with mean ± sd</p>
      <ul className={classes.choices}>
        {choices.map((column) => (
          <li key={column.id}>
            <CheckField label={column.title} isOn={view.groupBy.includes(column.id)} onChange={() => toggle(column.id)} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

export function ColumnChoice({ view }: { readonly view: FlowView }): ReactNode {
  const [search, setSearch] = useState("");
  const ids = view.shown.map(({ id }) => id);
  const others = view.columns.filter(({ id }) => !ids.includes(id));
  const isFound = ({ title, id }: FlowColumn): boolean => `${title} ${id}`.toLowerCase().includes(search.toLowerCase());
  const show = (ids: readonly string[]): void => changeView({ cols: joinNames(ids) }, { replace: true });
  const swap = (id: string, by: number): void => {
    const [from, to] = [ids.indexOf(id), ids.indexOf(id) + by];
    if (to < 0 || to >= ids.length) return;
    show(ids.with(from, ids[to] ?? id).with(to, id));
  };
  const pin = (id: string): void => {
    const next = view.pinned.includes(id) ? view.pinned.filter((one) => one !== id) : [...view.pinned, id];
    changeView({ pins: next.length === 0 ? "none" : joinNames(next) }, { replace: true });
  };
  return (
    <Panel label="Columns" icon={<IconColumns3 />} width={340}>
      <TextField label="Find a column" isLabelHidden isWide value={search} onChange={setSearch} placeholder="Find a column" type="search" />
      <ul className={classes.choices}>
        {view.shown.filter(isFound).map((column) => (
          <li key={column.id}>
            <CheckField label={nameOf(column)} isOn onChange={() => show(ids.filter((id) => id !== column.id))} />
            <IconButton label={`Move ${nameOf(column)} to the left`} onClick={() => swap(column.id, -1)}>
              <IconArrowUp />
            </IconButton>
            <IconButton label={`Move ${nameOf(column)} to the right`} onClick={() => swap(column.id, 1)}>
              <IconArrowDown />
            </IconButton>
            <IconButton label={`Keep ${nameOf(column)} in sight`} isOn={view.pinned.includes(column.id)} onClick={() => pin(column.id)}>
              {view.pinned.includes(column.id) ? <IconPinFilled /> : <IconPin />}
            </IconButton>
          </li>
        ))}
      </ul>
      {KINDS.map(([title, isOfKind]) => (
        <Others key={title} title={title} columns={others.filter(isOfKind).filter(isFound)} onShow={(more) => show([...ids, ...more])} />
      ))}
      <Button look="quiet" onClick={() => changeView({ cols: null, pins: null }, { replace: true })}>
        As at first
      </Button>
    </Panel>
  );
} // prettier-ignore

const isLast = ({ id }: FlowColumn): boolean => id.startsWith(LATEST);

const KINDS: readonly (readonly [title: string, isOf: (column: FlowColumn) => boolean])[] = [
  ["parameters", ({ group }) => group === "parameters"],
  ["metrics: the best values", (column) => column.group === "metrics" && !isLast(column)],
  ["metrics: the last values", isLast],
  ["validation", ({ group }) => group === "validation"],
  ["facts", ({ group }) => group === "facts"],
];
const MAX_LISTED = 200;

interface OthersProps {
  readonly title: string;
  readonly columns: readonly FlowColumn[];
  readonly onShow: (ids: readonly string[]) => void;
}

/** Columns of a kind that are not shown: one by one, or all of them. */
function Others({ title, columns, onShow }: OthersProps): ReactNode {
  if (columns.length === 0) return null;
  return (
    <section aria-label={`Not shown: ${title}`}>
      <div className={classes.kind}>
        <span>{title}</span>
        {columns.length === 1 ? null : (
          <Button look="quiet" onClick={() => onShow(columns.map(({ id }) => id))}>
            Show all {columns.length}
          </Button>
        )}
      </div>
      <ul className={classes.choices}>
        {columns.slice(0, MAX_LISTED).map((column) => (
          <li key={column.id}>
            <CheckField label={nameOf(column)} isOn={false} onChange={() => onShow([column.id])} />
          </li>
        ))}
      </ul>
      {columns.length > MAX_LISTED ? <p className="dim">{columns.length - MAX_LISTED} more: find them by name</p> : null}
    </section>
  );
}

/** The order where there are no column heads to click. */
export function SortChoice({ view }: { readonly view: FlowView }): ReactNode {
  const columns = view.shown.filter(({ id }) => !UNSORTED.has(id));
  const options = [["", "as in the run"] as const, ...columns.map((column) => [column.id, nameOf(column)] as const)];
  return <SelectField label="sort" value={view.sort?.column ?? ""} options={options} onChange={(id) => sortFirst(view, id === "" ? null : id)} />;
}

const UNSORTED = new Set(["curve", "left", "experiment_id"]);
const nameOf = ({ title, note }: FlowColumn): string => (note === undefined ? title : `${title} ${note}`);

export function Download({ run, view }: { readonly run: string; readonly view: FlowView }): ReactNode {
  const at = useAt();
  const [problem, setProblem] = useState<string | null>(null);
  const saveShown = (): void => {
    const shown = view.shown.filter(({ id }) => id !== "curve" && id !== "left");
    const columns = shown.map(({ id }) => id);
    const rows = view.rows.map((row) => columns.map((id) => csvValue(valueOf(row, id))));
    const metrics = shown.filter(({ group }) => group === "metrics").map(({ id }) => id);
    saveText(csvOf(view.groupBy.length > 0 ? groupTable(view.items, view.groupBy, metrics) : [columns, ...rows]), `${run}.csv`, "text/csv");
  };
  const fetchAll = (what: string, format: string): void => {
    const query = { what, format, at, filter: what === "experiments" ? view.filterText : null };
    setProblem(null);
    getBlob(runRoute(run, "/export"), query).then(
      (blob) => saveBlob(blob, `${run}-${what}.${format}`),
      (error: unknown) => setProblem(error instanceof Error ? error.message : String(error)),
    );
  };
  return (
    <Panel label="Download" icon={<IconDownload />} width={270}>
      <Button onClick={saveShown}>This table (CSV)</Button>
      <Button onClick={() => fetchAll("experiments", "csv")}>All columns (CSV)</Button>
      <Button onClick={() => fetchAll("metrics", "csv")}>Every measurement (CSV)</Button>
      <Button onClick={() => fetchAll("metrics", "parquet")}>Every measurement (Parquet)</Button>
      {problem === null ? null : <p role="alert">{problem}</p>}
    </Panel>
  );
}

const csvValue = (value: ReturnType<typeof valueOf>): string | number | null => (typeof value === "boolean" ? String(value) : value);
