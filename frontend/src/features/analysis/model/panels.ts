// Which charts there are: a row for each metric, a column for each split, what is pinned first.

export interface MetricRow {
  readonly metric: string;
  readonly keys: readonly string[];
}

const SPLIT_ORDER = ["train", "val", "test"];

export function splitOf(key: string): string {
  const slash = key.indexOf("/");
  return slash < 0 ? "" : key.slice(0, slash);
}

export function metricOf(key: string): string {
  return key.slice(key.indexOf("/") + 1);
}

const place = (split: string): number => (SPLIT_ORDER.includes(split) ? SPLIT_ORDER.indexOf(split) : SPLIT_ORDER.length);

/** Gives the rows of charts: the selected metric's first, then losses, then the others as they came up. */
export function metricRows(keys: readonly string[], selected: string | null): MetricRow[] {
  const rows = new Map<string, string[]>();
  for (const key of keys) rows.set(metricOf(key), [...(rows.get(metricOf(key)) ?? []), key]);
  const rank = (metric: string): number => (selected !== null && metric === metricOf(selected) ? 0 : metric.includes("loss") ? 1 : 2);
  return [...rows]
    .map(([metric, ofMetric]) => ({ metric, keys: [...ofMetric].sort((a, b) => place(splitOf(a)) - place(splitOf(b))) }))
    .sort((a, b) => rank(a.metric) - rank(b.metric));
}
