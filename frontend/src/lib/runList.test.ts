import { describe, expect, it } from "vitest";
import type { RunList, RunSummary } from "@/types/api";
import { canMerge, merged } from "./runList";

const run = (run_id: string, created_at: number | null, name = run_id, best: number | null = null): RunSummary =>
  ({ run_id, created_at, name, metrics: best === null ? [] : [{ key: "val/f1", best: { value: best, epoch: 1, step: 1 } }] }) as unknown as RunSummary;
const list = (...runs: RunSummary[]): RunList => ({ total: runs.length, runs });
const ids = ({ runs }: RunList): string => runs.map(({ run_id }) => run_id).join(" ");

describe("a list of runs after some changed", () => {
  const before = list(run("c", 3), run("b", 2), run("a", 2), run("x", null));

  it("has those that came, changed and went in their places, those without a value last", () => {
    const after = merged(before, ["new", "b", "c"], list(run("new", 9), run("b", 1)), {});
    expect([ids(after), after.total]).toEqual(["new a b x", 4]);
    expect(after.runs[3]).toBe(before.runs[3]);
    expect(ids(merged(before, ["n"], list(run("n", null)), { order: "asc" }))).toBe("a b c n x");
  });

  it("is sorted by what the hub sorts by: names in any case, metrics by their best", () => {
    const named = list(run("1", 1, "Beta"), run("2", 1, "alpha"));
    expect(ids(merged(named, ["3"], list(run("3", 1, "Ab")), { sort: "name", order: "asc" }))).toBe("3 2 1");
    const measured = list(run("1", 1, "", 0.9), run("2", 1, "", 0.5));
    expect(ids(merged(measured, ["3", "4"], list(run("3", 1, "", 0.7), run("4", 1)), { sort: "val/f1", order: "desc" }))).toBe("1 3 2 4");
  });

  it("is asked for again where it is not all that matches, or of the trash", () => {
    expect(canMerge(before, {})).toBe(true);
    expect(canMerge({ ...before, total: 99 }, {})).toBe(false);
    expect(canMerge(before, { trash: true })).toBe(false);
    expect(canMerge(undefined, {})).toBe(false);
  });
});
