import { describe, expect, it } from "vitest";
import type { ExperimentRow } from "@/types/api";
import { causesOf, groupedItems, groupTable } from "./items";

const row = (id: number, lr: number, loss: number, error: string | null = null): ExperimentRow =>
  ({ experiment_id: id, status: error === null ? "done" : "failed", error, exit_signal: null, swept: { lr }, trial: {}, latest: {}, best: { loss: { value: loss, epoch: 1, step: 1, non_finite: null } } }) as unknown as ExperimentRow;

describe("groups", () => {
  it("are saved as they stand: with their number, mean and standard deviation", () => {
    const items = groupedItems([row(0, 0.1, 1), row(1, 0.1, 3), row(2, 0.2, 5)], ["lr"], { column: "loss", isDescending: true }, new Set(["group 0.1"]));
    expect(items.map(({ kind }) => kind)).toEqual(["group", "group", "experiment", "experiment"]);
    expect(groupTable(items, ["lr"], ["loss"])).toEqual([["lr", "n", "loss mean", "loss sd"], ["0.2", 1, 5, null], ["0.1", 2, 2, Math.sqrt(2)]]); // prettier-ignore
  });
});

describe("failures", () => {
  it("are of one cause whatever numbers and addresses their errors have", () => {
    const causes = causesOf([row(0, 1, 1, "bad value 3 at 0x7f01"), row(1, 1, 1, "bad value 4.5 at 0x7f02"), row(2, 1, 1, "lost"), row(3, 1, 1)]);
    expect([...causes.values()].map((rows) => rows.map(({ experiment_id: id }) => id))).toEqual([[0, 1], [2]]);
  });
});
