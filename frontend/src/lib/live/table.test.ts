import { describe, expect, it } from "vitest";
import type { ExperimentTable } from "@/types/api";
import type { NumberedEvent } from "@/types/events";
import { durationOf } from "../eta";
import type { Delta } from "./delta";
import { DeltaFold } from "./fold";
import { tableAfter } from "./table";

const table: ExperimentTable = {
  at: 10, total: 1, num_all: 1,
  columns: [{ key: "val/loss", kind: "metric", type: "number", direction: "min" }],
  rows: [{
    experiment_id: 0, status: "running", swept: {}, trial: {}, rank: null, progress: null, device: null, attempt: 0,
    latest: { "val/loss": { value: 0.5, epoch: 1, step: 1 } }, best: { "val/loss": { value: 0.5, epoch: 1, step: 1 } },
    error: null, exit_signal: null, stop_reason: null, started_at: null, attempt_started_at: null, finished_at: null, duration_s: null, earlier_s: 0,
    steps_per_s: null, rss_bytes: null, num_checkpoints: 0, verdict: null,
  }],
}; // prettier-ignore

function after(first: number, experiment: number, scores: (number | "-inf" | null)[]): ExperimentTable {
  const fold = new DeltaFold("r", first);
  scores.forEach((score, i) =>
    fold.add({
      event_id: first + i,
      data: {
        event_type: "evaluation_result",
        creation_ts: 0,
        payload: { experiment_id: experiment, epoch: 2 + i, step: 2 + i, loss_scores: [{ loss: "loss", split: "val", ...(score === "-inf" ? { score: null, non_finite: score } : { score }) }] },
      },
    }),
  );
  const delta = fold.take();
  if (delta === null) throw new Error("nothing came");
  return tableAfter(table, delta);
}

function deltaOf(events: readonly NumberedEvent[]): Delta {
  const fold = new DeltaFold("r", events[0]?.event_id ?? 0);
  for (const event of events) fold.add(event);
  const delta = fold.take();
  if (delta === null) throw new Error("nothing changed");
  return delta;
}

describe("the table after a delta", () => {
  it("has the latest value, and the best by the metric's direction", () => {
    const row = after(10, 0, [0.2, 0.7]).rows[0];
    expect([row?.latest["val/loss"]?.value, row?.best["val/loss"]?.value]).toEqual([0.7, 0.2]);
  });

  it("never takes NaN or an infinity for the best", () => {
    const row = after(10, 0, [null]).rows[0];
    expect([row?.latest["val/loss"]?.non_finite, row?.best["val/loss"]?.value]).toEqual(["nan", 0.5]);
    const down = after(10, 0, ["-inf"]).rows[0];
    expect([down?.latest["val/loss"]?.non_finite, down?.best["val/loss"]?.value]).toEqual(["-inf", 0.5]);
  });

  it("ignores what it has already", () => {
    expect(after(8, 0, [0.1, 0.1])).toBe(table);
  });

  it("gets a row for an experiment that is new", () => {
    const { rows, total } = after(10, 3, [0.4]);
    expect([rows.map((row) => row.experiment_id), total]).toEqual([[0, 3], 2]);
    expect(rows[0]).toBe(table.rows[0]);
  });

  it("has the time of all attempts, without the time between them", () => {
    const told: Record<string, unknown>[] = [
      { status: "RUNNING", starting_time: 100 },
      { status: "DONE", starting_time: 100, finishing_time: 130, error: "no" },
      { status: "INIT", attempt: 1 },
      { status: "RUNNING", starting_time: 200, attempt: 1 },
      { status: "DONE", starting_time: 200, finishing_time: 205, attempt: 1 },
    ];
    let current = table;
    const durations = told.map((payload, i) => {
      const fold = new DeltaFold("r", 10 + i);
      fold.add({ event_id: 10 + i, data: { event_type: "job_status", creation_ts: 0, payload: { experiment_id: 0, ...payload } } });
      const delta = fold.take();
      if (delta !== null) current = tableAfter(current, delta);
      const row = current.rows[0];
      return row === undefined ? null : durationOf(row, 203);
    });
    expect(durations).toEqual([103, 30, 30, 33, 35]);
    const whole = { started_at: 100, attempt_started_at: 200, finished_at: 205, duration_s: 35, earlier_s: 30 };
    expect(current.rows[0]).toMatchObject(whole);
    // The same where all of it comes at once, as after a break, and where the table has some of it already.
    const events = told.map((payload, i) => ({ event_id: 10 + i, data: { event_type: "job_status", creation_ts: 0, payload: { experiment_id: 0, ...payload } } }));
    const atOnce = deltaOf(events);
    expect(tableAfter(table, atOnce).rows[0]).toMatchObject(whole);
    expect(tableAfter(tableAfter(table, deltaOf(events.slice(0, 4))), atOnce).rows[0]).toMatchObject(whole);
  });

  it("counts checkpoints once, and has the verdict of running it again", () => {
    const told = ["checkpoint_saved", "checkpoint_saved", "checkpoint_deleted", "checkpoint_saved", "reproduction_verdict"];
    const events = told.map((event_type, i) => ({ event_id: 10 + i, data: { event_type, creation_ts: 0, payload: { experiment_id: 0, verdict: "diverged" } } }));
    const before = table.rows[0]?.num_checkpoints ?? 0;
    const half = tableAfter(table, deltaOf(events.slice(0, 2)));
    for (const start of [table, half]) expect(tableAfter(start, deltaOf(events)).rows[0]).toMatchObject({ num_checkpoints: before + 2, verdict: "diverged" });
  });

  it("has what a search said of trials, of all their seeds, and of those that come after it was said", () => {
    const fold = new DeltaFold("r", 10);
    const rows = [0, 1].map((id) => ({ ...table.rows[0], experiment_id: id, trial: { configuration: 0, seed_index: id }, rung: 0, standing: "paused" as const }));
    const events = [
      { event_type: "search_decision", payload: { action: "promote", trial: 0, experiment_id: 0, rung: 1, reason: "first of 3" } },
      { event_type: "search_decision", payload: { action: "try", trial: 1, experiment_id: 2, rung: 0 } },
      { event_type: "experiment_config", payload: { experiment_id: 2, trial: { configuration: 1 }, swept: {} } },
      { event_type: "search_result", payload: { trial: 0, experiment_id: 0, state: "ended" } },
    ];
    events.forEach((data, i) => fold.add({ event_id: 10 + i, data: { ...data, creation_ts: 0 } }));
    const delta = fold.take();
    const found = delta === null ? [] : tableAfter({ ...table, rows: rows as ExperimentTable["rows"] }, delta).rows;
    expect(found.map((row) => [row.rung, row.standing, row.decision])).toEqual([[1, "complete", "first of 3"], [1, "complete", "first of 3"], [0, "running", null]]); // prettier-ignore
  });
});
