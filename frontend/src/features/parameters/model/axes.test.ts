import { describe, expect, it } from "vitest";
import type { ExperimentRow } from "@/types/api";
import { axisOf, brushAfter, brushed, isVaried, metricAxisOf, valueAt } from "./axes";

const rows = [
  { experiment_id: 0, swept: { lr: 0.001, act: "relu" } },
  { experiment_id: 1, swept: { lr: 0.1, act: "gelu" } },
  { experiment_id: 2, swept: { lr: 0.01, act: "relu" } },
  { experiment_id: 3, swept: { lr: Number.NaN, act: null } },
].map((row) => ({ latest: {}, best: {}, trial: {}, ...row }) as unknown as ExperimentRow);

describe("an axis", () => {
  it("is logarithmic where values span orders of magnitude", () => {
    const axis = axisOf(rows.slice(0, 3), "lr", "lr");
    expect(axis.isLog).toBe(true);
    expect([0.001, 0.01, 0.1].map((value) => Number(axis.positionOf(value)?.toFixed(6)))).toEqual([0, 0.5, 1]);
    expect(axis.positionOf(Number.NaN)).toBeNull();
  });

  it("places names by their order", () => {
    const axis = axisOf(rows, "act", "act");
    expect([axis.positionOf("gelu"), axis.positionOf("relu"), axis.positionOf(null)]).toEqual([0, 1, null]);
  });

  it("has a place for null, which is a value, unlike a parameter that is not there", () => {
    const of = (swept: object) => ({ ...rows[0], swept }) as (typeof rows)[number];
    const some = [of({ schedule: null, momentum: 0.9 }), of({ schedule: "cosine" })];
    expect(some.map((row) => [valueAt(row, "schedule"), valueAt(row, "momentum")])).toEqual([["null", 0.9], ["cosine", null]]);
    expect(axisOf(some, "schedule", "schedule").ticks.map(({ label }) => label)).toEqual(["cosine", "null"]);
    expect([isVaried(some, "schedule"), isVaried(some, "momentum"), isVaried(some.slice(0, 1), "momentum")]).toEqual([true, true, false]);
  }); // prettier-ignore

  it("is brushed together with others", () => {
    const axes = [axisOf(rows.slice(0, 3), "lr", "lr"), axisOf(rows, "act", "act")];
    expect(brushed(rows, axes, new Map([["lr", [0, 0.6]]]))).toEqual([0, 2]);
    expect(brushed(rows, axes, new Map([["lr", [0, 0.6]], ["act", [0, 0.5]]]))).toEqual([]);
  }); // prettier-ignore

  it("is brushed by keys", () => {
    const after = (brush: readonly [number, number] | undefined, key: string, isUpperEnd = false) => brushAfter(brush, key, isUpperEnd)?.map((at) => Number(at.toFixed(2)));
    expect([after(undefined, "ArrowUp"), after(undefined, "ArrowDown")]).toEqual([[0, 0.25], [0.75, 1]]);
    expect([after([0, 0.25], "ArrowUp"), after([0, 0.25], "ArrowDown"), after([0.74, 0.99], "ArrowUp")]).toEqual([[0.05, 0.3], [0, 0.25], [0.75, 1]]);
    expect([after([0, 0.25], "ArrowUp", true), after([0, 0.05], "ArrowDown", true)]).toEqual([[0, 0.3], [0, 0.05]]);
    expect([brushAfter([0, 1], "Escape", false), brushAfter([0, 1], "a", false)]).toEqual([null, undefined]);
  }); // prettier-ignore

  it("is logarithmic where values were drawn over orders of magnitude", () => {
    const of = (numbers: readonly number[]) => axisOf(numbers.map((lr, id) => ({ ...rows[0], experiment_id: id, swept: { lr } }) as (typeof rows)[number]), "lr", "lr");
    expect(of([1.0e-3, 1.1e-3, 2.1e-3, 2.7e-3, 1.2e-2, 4.4e-2]).isLog).toBe(true);
    // One small number among evenly drawn ones makes no orders of magnitude.
    expect(of(Array.from({ length: 40 }, (_, i) => 0.005 + i * 0.015)).isLog).toBe(false);
    expect([of([16, 32, 64, 128, 256]).isLog, of([10, 50, 100]).isLog, of([-1, 0, 50]).isLog]).toEqual([false, false, false]); // prettier-ignore
    expect(of([1, 1.001, 1.002, 100]).ticks.map(({ label }) => label)).toEqual(["1", "100"]);
  });

  it("of a metric has round ticks, and is not logarithmic for the sake of a few bad scores", () => {
    const of = (numbers: readonly number[]) => metricAxisOf(numbers.map((value, id) => ({ ...rows[0], experiment_id: id, best: { f1: { value, epoch: 1, step: 1, non_finite: null } } }) as unknown as ExperimentRow), "f1"); // prettier-ignore
    expect(of([0.018, 0.37, 0.92, 0.95, 0.989]).ticks.map(({ label }) => label)).toEqual(["0.2", "0.4", "0.6", "0.8"]);
    expect(of([0.018, 0.37, 0.92, 0.95, 0.989]).isLog).toBe(false);
    expect(of([0.001, 0.0012, 0.002, 0.003, 0.9]).isLog).toBe(true);
    expect(of([0.001, 0.0012, 0.002, 0.003, 0.9]).ticks[0]?.label).toBe("1e-3");
  });
});
