// Which curve has which colour: the selection's, or one scale over a parameter, drawn beside the charts.
import { MAX_COLOURS, scaleColour, selectionColour, type Scheme } from "@/lib/colours";
import { formatValue, shortValue } from "@/lib/format";
import { columnsOf, compareValues, valueOf, type Value } from "@/lib/rowValues";
import type { Selection } from "@/lib/selection";
import { varianceExplained } from "@/lib/statistics";
import type { ExperimentRow, ExperimentTable } from "@/types/api";

export interface Colouring {
  readonly column: string | null;
  readonly colourOf: (row: ExperimentRow) => string | null;
  /** The scale, from low to high. */
  readonly legend: readonly { readonly label: string; readonly colour: string }[];
}

const MAX_LEGEND = 8;

/** Gives the parameter that explains most of what is different about a metric; null where none tells anything. */
export function tellingColumn(table: ExperimentTable, metric: string | null): string | null {
  if (metric === null) return null;
  let [best, most] = [null as string | null, 0];
  for (const column of columnsOf(table.columns, "swept")) {
    const pairs = table.rows.flatMap((row) => {
      const value = valueOf(row, metric);
      return typeof value === "number" && Number.isFinite(value) ? [[formatValue(valueOf(row, column)), value] as const] : [];
    });
    const share = varianceExplained(pairs) ?? 0;
    // A parameter with a value of its own for each experiment explains everything and tells nothing.
    const isTelling = new Set(pairs.map(([x]) => x)).size < Math.max(2, pairs.length);
    if (share > most && isTelling) [best, most] = [column, share];
  }
  return best ?? columnsOf(table.columns, "swept")[0] ?? null;
}

export function colouringOf(rows: readonly ExperimentRow[], selection: Selection, column: string | null, scheme: Scheme, describe: (row: ExperimentRow) => string): Colouring {
  const bySelection = (row: ExperimentRow): string | null => {
    const slot = selection.slotOf(row.experiment_id);
    return slot === null ? null : selectionColour(slot, scheme);
  };
  if (column === null) {
    const isFew = selection.ids.length === 0 && rows.length <= MAX_COLOURS;
    const places = new Map(rows.map((row, i) => [row.experiment_id, i]));
    return {
      column: null,
      legend: isFew ? rows.map((row, i) => ({ label: describe(row), colour: selectionColour(i, scheme) })) : [],
      colourOf: isFew ? (row) => selectionColour(places.get(row.experiment_id) ?? 0, scheme) : bySelection,
    };
  }
  const values = distinct(rows.map((row) => valueOf(row, column)));
  const positions = new Map(values.map((value, i) => [String(value), positionOf(value, i, values)]));
  const colour = (value: Value): string | null => (value === null ? null : scaleColour(positions.get(String(value)) ?? 0, scheme));
  const steps = values.length <= MAX_LEGEND ? values : Array.from({ length: MAX_LEGEND }, (_, i) => values[Math.round((i * (values.length - 1)) / (MAX_LEGEND - 1))] ?? null);
  return {
    column,
    legend: steps.map((value) => ({ label: shortValue(value), colour: colour(value) ?? "" })),
    colourOf: (row) => bySelection(row) ?? (selection.ids.length > 0 ? null : colour(valueOf(row, column))),
  };
}

function distinct(values: readonly Value[]): Value[] {
  const seen = new Map(values.filter((value) => value !== null).map((value) => [String(value), value]));
  return [...seen.values()].sort((a, b) => compareValues(a, b, false));
}

/** Few values are placed by their rank, so that all can be told apart; many numbers by their size, or their order of magnitude. */
function positionOf(value: Value, index: number, values: readonly Value[]): number {
  const numbers = values.filter((one): one is number => typeof one === "number");
  if (values.length <= MAX_LEGEND || numbers.length !== values.length || typeof value !== "number") return index / Math.max(1, values.length - 1);
  const [low, high] = [numbers[0] ?? 0, numbers.at(-1) ?? 1];
  if (high === low) return 0;
  if (low > 0 && high / low > 100) return Math.log(value / low) / Math.log(high / low);
  return (value - low) / (high - low);
}
