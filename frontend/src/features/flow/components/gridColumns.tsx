// The columns of the table: how each one shows experiments, and groups of them.
import { IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import type { ReactNode } from "react";
import type { GridColumn } from "@/components/grid/columns";
import { Sparkline } from "@/components/Sparkline";
import { selectionColour, themeColour, type Scheme } from "@/lib/colours";
import type { CurveSet } from "@/lib/curves";
import { formatBytes, formatDuration, formatNumber, formatValue, MISSING, shortValue } from "@/lib/format";
import { valueOf } from "@/lib/rowValues";
import { toggleAll, toggleSelected, type Selection } from "@/lib/selection";
import type { ExperimentRow } from "@/types/api";
import { factCell, spreadCell } from "./cells";
import type { FlowColumn } from "../model/columns";
import { canUnfold, type ExperimentItem, type GroupItem, type Item } from "../model/items";
import { toggleUnfolded, type FlowView } from "../model/useFlowView";
import classes from "./Flow.module.css";

export interface Surroundings {
  readonly view: FlowView;
  readonly selection: Selection;
  readonly scheme: Scheme;
  readonly now: number;
  readonly metric: string | null;
  readonly curves: CurveSet | undefined;
}

/** Facts that a group has a mean of, and how they are written. */
const SUMMED: ReadonlyMap<string, (value: number) => string> = new Map([["steps_per_s", formatNumber], ["duration_s", formatDuration], ["rss_bytes", formatBytes], ["num_checkpoints", formatNumber]]); // prettier-ignore

export function gridColumns(around: Surroundings): GridColumn<Item>[] {
  const { view } = around;
  return view.shown.map((column): GridColumn<Item> => {
    const whole = column.group === "metrics" ? rangeOf(view.rows, column) : null;
    const range = view.isHeated ? whole : null;
    const best = whole === null || whole.low === whole.high ? null : column.direction === "min" ? whole.low : whole.high;
    return {
      id: column.id,
      title: column.id === "curve" && around.metric !== null ? around.metric : column.title,
      ...(column.note === undefined ? {} : { note: column.note }),
      ...(column.hint === undefined ? {} : { hint: column.hint }),
      width: column.width,
      isNumber: column.isNumber,
      isWide: column.id === "error",
      isPinned: view.pinned.includes(column.id),
      isSortable: column.id !== "curve" && column.id !== "left",
      render: (item) => render(item, column, around, best),
      ...(range === null ? {} : { background: (item: Item) => heat(item, column, range) }),
    };
  });
}

function render(item: Item, column: FlowColumn, around: Surroundings, best: number | null): ReactNode {
  if (item.kind === "group") return groupCell(item, column, around);
  if (item.kind === "failure") return null;
  if (column.id === "experiment_id") return <IdCell item={item} around={around} />;
  if (column.id === "curve") return curveCell(item.row, around);
  if (column.group === "facts") return factCell(item.row, column.id, around.now);
  const value = valueOf(item.row, column.id);
  if (column.group === "metrics") return best !== null && value === best ? <b title="the best of those shown">{formatNumber(best)}</b> : formatNumber(value as number | null);
  return value === null ? MISSING : <span title={formatValue(value)}>{shortValue(valueShown(item.row, column.id, value))}</span>;
}

/** Lists are texts where they are compared; here their numbers are shortened one by one. */
const valueShown = (row: ExperimentRow, id: string, value: unknown): unknown => row.swept[id] ?? value;

function IdCell({ item, around }: { readonly item: ExperimentItem; readonly around: Surroundings }): ReactNode {
  const { row } = item;
  const slot = around.selection.slotOf(row.experiment_id);
  return (
    <span className={classes.idCell}>
      {canUnfold(item) ? (
        <FoldButton isOpen={around.view.unfolded.has(item.key)} label={`What happened to experiment ${row.experiment_id}`} onClick={() => toggleUnfolded(around.view, item.key)} />
      ) : around.view.isFoldable ? (
        <span className={classes.noFold} />
      ) : null}
      <input
        type="checkbox"
        className={classes.select}
        tabIndex={-1}
        checked={around.selection.set.has(row.experiment_id)}
        aria-label={`Select experiment ${row.experiment_id}`}
        onChange={() => toggleSelected(row.experiment_id)}
      />
      {slot === null ? null : <span className={classes.swatch} style={{ background: selectionColour(slot, around.scheme) }} />}
      <span>{row.experiment_id}</span>
    </span>
  );
}

export function FoldButton({ isOpen, label, onClick }: { readonly isOpen: boolean; readonly label: string; readonly onClick: () => void }): ReactNode {
  return (
    <button type="button" tabIndex={-1} className={classes.fold} aria-expanded={isOpen} aria-label={label} onClick={onClick}>
      {isOpen ? <IconChevronDown aria-hidden /> : <IconChevronRight aria-hidden />}
    </button>
  );
}

export const idsOf = (group: GroupItem): number[] => group.members.map((row) => row.experiment_id);

function groupCell(group: GroupItem, column: FlowColumn, around: Surroundings): ReactNode {
  if (column.id === "experiment_id") {
    return (
      <span className={classes.idCell}>
        <FoldButton isOpen={group.isOpen} label="Show the experiments of this group" onClick={() => toggleUnfolded(around.view, group.key)} />
        <input
          type="checkbox"
          className={classes.select}
          tabIndex={-1}
          checked={group.members.every((row) => around.selection.set.has(row.experiment_id))}
          aria-label={`Select the ${group.members.length} of ${group.names.map(([, value]) => value).join(", ")}`}
          onChange={() => toggleAll(idsOf(group))}
        />
        <span title="experiments in this group">{group.members.length}×</span>
      </span>
    );
  }
  const name = group.names.find(([key]) => key === column.id);
  if (name !== undefined) return <span title={name[1]}>{shortOf(group.members, column.id)}</span>;
  if (column.id === "status") return statusWords(group.members);
  const words = SUMMED.get(column.id);
  if (column.group === "metrics" || words !== undefined) return spreadCell(group.spread(column.id), words);
  const values = new Set(group.members.map((row) => formatValue(valueOf(row, column.id) ?? undefined)));
  if (column.group === "parameters" || column.group === "validation") return values.size === 1 ? shortOf(group.members, column.id) : <span className="dim">{values.size} values</span>;
  return null;
}

/** Gives what all of a group have in common, for the eye. */
function shortOf([first]: readonly ExperimentRow[], id: string): string {
  return first === undefined ? "" : shortValue(valueShown(first, id, valueOf(first, id) ?? undefined));
}

function statusWords(rows: readonly ExperimentRow[]): string {
  const failed = rows.filter((row) => row.status === "failed").length;
  const ended = rows.filter((row) => row.status === "done").length;
  return `${ended}/${rows.length} done${failed > 0 ? `, ${failed} failed` : ""}`;
}

function curveCell(row: ExperimentRow, { metric, curves, selection, scheme }: Surroundings): ReactNode {
  if (metric === null) return null;
  const slot = selection.slotOf(row.experiment_id);
  const colour = slot === null ? themeColour("--dim") : selectionColour(slot, scheme);
  return <Sparkline curve={curves?.byKey.get(metric)?.get(row.experiment_id)} colour={colour} label={`${metric} of experiment ${row.experiment_id} over training`} />;
}

interface Range {
  readonly low: number;
  readonly high: number;
}

function rangeOf(rows: readonly ExperimentRow[], column: FlowColumn): Range | null {
  const values = rows.map((row) => valueOf(row, column.id)).filter((value): value is number => typeof value === "number" && Number.isFinite(value));
  if (values.length < 2) return null;
  return { low: values.reduce((a, b) => Math.min(a, b)), high: values.reduce((a, b) => Math.max(a, b)) };
}

/** Shades a cell by how good it is among the rows that are shown. */
function heat(item: Item, column: FlowColumn, { low, high }: Range): string | undefined {
  const value = item.kind === "group" ? item.spread(column.id)?.mean : item.kind === "experiment" ? valueOf(item.row, column.id) : null;
  if (typeof value !== "number" || !Number.isFinite(value) || high === low) return undefined;
  const position = (value - low) / (high - low);
  const goodness = column.direction === "min" ? 1 - position : position;
  return `color-mix(in srgb, rgb(var(--heat-high)) ${Math.round(goodness * 70)}%, var(--paper))`;
}
