import { describe, expect, it } from "vitest";
import type { Column, ExperimentRow } from "@/types/api";
import { filterOf } from "./filter";

const columns: Column[] = [
  { key: "experiment_id", kind: "fact", type: "number" },
  { key: "status", kind: "fact", type: "text" },
  { key: "optimizer.lr", kind: "swept", type: "number" },
  { key: "model.hidden", kind: "swept", type: "mixed" },
  { key: "loss.hidden", kind: "swept", type: "mixed" },
  { key: "val/f1_macro", kind: "metric", type: "number", direction: "max" },
];

function row(id: number, status: ExperimentRow["status"], lr: number, f1: number | null): ExperimentRow {
  const value = { value: Number.isNaN(f1) ? null : f1, epoch: 1, step: 1, non_finite: Number.isNaN(f1) ? ("nan" as const) : null };
  return {
    experiment_id: id, status, swept: { "optimizer.lr": lr }, trial: {}, rank: null, progress: null, device: "cpu", attempt: 0,
    latest: f1 === null ? {} : { "val/f1_macro": value }, best: f1 === null ? {} : { "val/f1_macro": value },
    error: status === "failed" ? "RuntimeError: lost it" : null, exit_signal: null, stop_reason: null, started_at: null, attempt_started_at: null, finished_at: null, earlier_s: 0,
    duration_s: null, steps_per_s: null, rss_bytes: null, num_checkpoints: 0, verdict: null,
  }; // prettier-ignore
}

const rows = [row(0, "done", 0.1, 0.95), row(1, "done", 0.001, 0.91), row(2, "failed", 1, null), row(3, "running", 0.001, 0.4)];
const matching = (text: string): number[] => rows.filter(filterOf(text, columns) ?? (() => true)).map(({ experiment_id: id }) => id);

describe("a filter", () => {
  it.each([
    ["", [0, 1, 2, 3]],
    ["status:failed or lr<0.01 and val/f1_macro>0.9", [1, 2]],
    ["(status:failed or lr<0.01) and not f1_macro>0.9", [2, 3]],
    ["lr<0.01 f1_macro>=0.4", [1, 3]],
    ["status!=done", [2, 3]],
    ["optimizer.lr=1e-3", [1, 3]],
    ['status~"^(done|fail)"', [0, 1, 2]],
    ["(status~done) and id<2", [0, 1]],
    ['status:"failed"', [2]],
    ["status:failed,running", [2, 3]],
    ["f1_macro:*", [0, 1, 3]],
    ["latest(val/f1_macro)<0.5", [3]],
    ["`optimizer.lr`>0.05", [0, 2]],
    ["status='done'", [0, 1]],
    ["lost", [2]],
    ["id>=2", [2, 3]],
  ])("%s", (text, ids) => expect(matching(text)).toEqual(ids));

  it("says what is wrong, where, and what was meant", () => {
    const problem = (text: string): string => {
      try {
        filterOf(text, columns);
      } catch (error) {
        return (error as Error).message;
      }
      return "nothing";
    };
    expect(problem("statsu:failed")).toBe("no experiment has `statsu`; did you mean `status`?");
    expect(problem("time>60")).toBe("no experiment has `time`; did you mean `duration`?");
    expect(problem("!done")).toContain("write `not` instead of `!`");
    expect(problem("hidden=3")).toBe("`hidden` may be `model.hidden` or `loss.hidden`");
    expect(problem("lr<")).toBe("the filter is not understood at its end: expected a value after `<`");
    expect(problem("lr<big")).toContain("`<` compares with a number");
    expect(problem("(lr<1")).toContain("expected `)`");
    expect(problem("lr<1)")).toContain("an opening parenthesis is missing");
    expect(problem('status~"("')).toBe("`(` is no regular expression");
    expect(problem("lr<1 or")).toContain("expected a comparison");
    expect(problem("(".repeat(60))).toContain("nested more than 50");
  });
});
