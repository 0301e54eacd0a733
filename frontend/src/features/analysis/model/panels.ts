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

/** Gives rows of charts as they stand below each other: metrics that are of one split only share a row. */
export function sections(rows: readonly MetricRow[]): MetricRow[] {
  const single = rows.filter(({ keys }) => keys.length === 1);
  if (single.length < 2) return [...rows];
  const shared = { metric: "of one split", keys: single.flatMap(({ keys }) => keys) };
  const several = rows.filter(({ keys }) => keys.length > 1);
  return rows[0]?.keys.length === 1 ? [shared, ...several] : [...several, shared];
}

/** Gives the rows of charts: the selected metric's first, then losses, then the others as they came up. */
export function metricRows(keys: readonly string[], selected: string | null): MetricRow[] {
  const rows = new Map<string, string[]>();
  for (const key of keys) rows.set(metricOf(key), [...(rows.get(metricOf(key)) ?? []), key]);
  const rank = (metric: string): number => (selected !== null && metric === metricOf(selected) ? 0 : metric.includes("loss") ? 1 : 2);
  return [...rows]
    .map(([metric, ofMetric]) => ({ metric, keys: [...ofMetric].sort((a, b) => place(splitOf(a)) - place(splitOf(b))) }))
    .sort((a, b) => rank(a.metric) - rank(b.metric));
}
