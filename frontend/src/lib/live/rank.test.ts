import { expect, it } from "vitest";
import type { ExperimentRow, ExperimentTable, MetricValue, RunDetail } from "@/types/api";
import { decidingOf, ranked } from "./rank";

const value = (number: number): MetricValue => (Number.isFinite(number) ? { value: number, epoch: 1, step: 1, non_finite: null } : { value: null, epoch: 1, step: 1, non_finite: "-inf" });
const row = (id: number, best: number | null, last: number, status = "done"): ExperimentRow =>
  ({ experiment_id: id, status, rank: null, best: best === null ? {} : { "val/loss": value(best) }, latest: { "val/loss": value(last) } }) as unknown as ExperimentRow;
const table = { columns: [{ key: "val/loss", kind: "metric", type: "number", direction: "min" }] } as unknown as ExperimentTable;
const run = (select: object | null): RunDetail => ({ selected_metric: "val/loss", validation: { select } }) as unknown as RunDetail;

it("is by what the run selects by, of equals the lower id; what failed or is not finite has none", () => {
  const rows = [row(0, 0.3, 0.3), row(1, 0.1, 0.9), row(2, 0.3, 0.2), row(3, 0.05, 0.05, "failed"), row(4, null, -Infinity)];
  const ranksBy = (select: object | null): unknown => {
    const deciding = decidingOf(run(select), table);
    return deciding === null ? null : ranked(rows, deciding).map(({ rank }) => rank);
  };
  expect(ranksBy(null)).toEqual([2, 1, 3, null, null]);
  expect(ranksBy({ metric: "val/loss", best: "min", at: "last" })).toEqual([2, 3, 1, null, null]);
});
