import { describe, expect, it } from "vitest";
import type { ExperimentRow } from "@/types/api";
import { epochOf, epochsOver } from "./progress";

const row = (status: string, phase: string, epoch: number, measured: number, stop: string | null = null): ExperimentRow =>
  ({ status, stop_reason: stop, progress: { phase, epoch, num_epochs: 10 }, latest: { "val/loss": { value: 1, epoch: measured } } }) as unknown as ExperimentRow;

describe("epochs", () => {
  it("count as over while they are evaluated", () => {
    expect([row("running", "train", 3, 3), row("running", "evaluation", 3, 2)].map(({ progress }) => progress && epochOf(progress))).toEqual([4, 3]);
    expect(epochsOver(row("running", "evaluation", 3, 2))).toBe(3);
  });

  it("are those that were measured where progress was not told since", () => {
    expect(epochsOver(row("done", "evaluation", 3, 5, "no better for 4 epochs"))).toBe(5);
    expect(epochsOver(row("interrupted", "train", 3, 3))).toBe(3);
    expect(epochsOver(row("done", "train", 9, 9))).toBe(10);
  });
});
