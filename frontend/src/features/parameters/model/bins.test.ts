import { expect, test } from "vitest";
import type { ExperimentRow } from "@/types/api";
import { binsOf, pairKey, pairsOf } from "./bins";

const rows = (values: readonly unknown[]): ExperimentRow[] => values.map((value, id) => ({ experiment_id: id, swept: { a: value, b: id % 2 }, best: {}, latest: {}, trial: {} }) as unknown as ExperimentRow);

test("few values have a bin each, in their order", () => {
  const { bins } = binsOf(rows([[16, 16], [4], [16], [4]].map((one) => one)), "a");
  expect(bins.map(({ label }) => label)).toEqual(["[4]", "[16]", "[16, 16]"]);
});

test("many numbers fall into ranges, and none is left out", () => {
  const all = rows(Array.from({ length: 1000 }, (_, i) => i));
  const [across, down] = [binsOf(all, "a"), binsOf(all, "b")];
  const cells = pairsOf(all, "a", "b", across, down);
  expect(across.bins).toHaveLength(8);
  expect([...cells.values()].reduce((sum, members) => sum + members.length, 0)).toBe(1000);
  expect(cells.get(pairKey("1", "7"))?.at(-1)?.experiment_id).toBe(999);
});

test("names that are too many are counted", () => {
  expect(binsOf(rows(Array.from({ length: 50 }, (_, i) => `name ${i}`)), "a").numLeftOut).toBe(10);
});
