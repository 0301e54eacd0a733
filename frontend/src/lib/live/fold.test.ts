import { describe, expect, it } from "vitest";
import type { NumberedEvent } from "@/types/events";
import { DeltaFold } from "./fold";

const event = (event_id: number, event_type: string, payload: object): NumberedEvent => ({
  event_id,
  data: { event_type, creation_ts: (1_000_000 + event_id) * 1e6, payload: payload as Record<string, unknown> },
});

const evaluation = (id: number, epoch: number, score: number | null, more: object = {}): NumberedEvent =>
  event(id, "evaluation_result", {
    experiment_id: 2, epoch, step: epoch * 10, metric_scores: [{ metric: "f1", split: "val", score, ...more }], loss_scores: [],
  }); // prettier-ignore

describe("events into deltas", () => {
  it("merge, and are given once", () => {
    const fold = new DeltaFold("r", 0);
    fold.add(evaluation(0, 1, 0.5));
    fold.add(evaluation(1, 2, 0.6));
    const delta = fold.take();
    expect(delta?.rows).toHaveLength(1);
    expect(delta?.rows[0]?.values["val/f1"]?.map((value) => value.value)).toEqual([0.5, 0.6]);
    expect(delta?.points[0]).toMatchObject({ eventIds: [0, 1], epochs: [1, 2], steps: [10, 20], values: [0.5, 0.6] });
    expect([delta?.from, delta?.to]).toEqual([0, 2]);
    expect(fold.take()).toBeNull();
  });

  it("pass over what comes twice after a reconnect", () => {
    const fold = new DeltaFold("r", 1);
    fold.add(evaluation(0, 1, 0.5));
    expect(fold.take()).toBeNull();
    fold.add(evaluation(1, 2, 0.6));
    fold.add(evaluation(1, 2, 0.6));
    expect(fold.take()?.points[0]?.values).toEqual([0.6]);
    expect(fold.numEvents).toBe(2);
  });

  it("tell NaN from missing", () => {
    const fold = new DeltaFold("r", 0);
    fold.add(evaluation(0, 1, null, { non_finite: "inf" }));
    fold.add(evaluation(1, 2, null));
    expect(fold.take()?.points[0]?.values).toEqual([Infinity, NaN]);
  });

  it("say that a job failed, and forget its progress when it starts again", () => {
    const fold = new DeltaFold("r", 0);
    fold.add(event(0, "job_status", { experiment_id: 1, status: "DONE", error: "lost", starting_time: 5, finishing_time: 9 }));
    expect(fold.take()?.rows[0]?.fields).toMatchObject({ status: "failed", error: "lost", attempt_started_at: 5, finished_at: 9 });
    fold.add(event(1, "job_status", { experiment_id: 1, status: "INIT", starting_time: -1, finishing_time: -1 }));
    expect(fold.take()?.rows[0]?.fields).toMatchObject({ status: "waiting", error: null, progress: null });
  });

  it("count training within an epoch, and evaluation as of one that is over", () => {
    const fold = new DeltaFold("r", 0);
    const at = { experiment_id: 1, num_epochs: 10, current_epoch: 4, num_batches: 20, current_batch: 10, current_split: "train" };
    fold.add(event(0, "experiment_status", { ...at, status: "train" }));
    expect(fold.take()?.rows[0]?.fields.progress?.fraction).toBeCloseTo(0.45);
    fold.add(event(1, "experiment_status", { ...at, status: "evaluation", current_epoch: 5 }));
    expect(fold.take()?.rows[0]?.fields.progress?.fraction).toBeCloseTo(0.5);
  });

  it("survive events of other versions", () => {
    const fold = new DeltaFold("r", 0);
    const odd = [{}, { experiment_id: "x" }, { experiment_id: 1, metric_scores: 7, loss_scores: [null, 3] }];
    odd.forEach((payload, id) => fold.add(event(id, ["unknown", "job_status", "evaluation_result"][id] ?? "", payload)));
    expect(fold.take()?.to).toBe(3);
  });

  it("ask for everything again where a resume makes results void", () => {
    const fold = new DeltaFold("r", 0);
    fold.add(event(0, "experiment_resumed", { experiment_id: 1, replaces_later: true }));
    expect(fold.take()?.historyChanged).toBe(true);
  });
});
