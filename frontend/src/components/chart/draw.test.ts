import { afterEach, expect, it, vi } from "vitest";
import type uPlot from "uplot";
import { drawSpec } from "./draw";
import type { ChartSpec } from "./spec";

afterEach(() => vi.unstubAllGlobals());

/** A canvas that keeps its state as browsers do, and draws nothing. */
function context(more: object = {}): CanvasRenderingContext2D & { strokeStyle: string } {
  const kept: object[] = [];
  const state = { strokeStyle: "grid", fillStyle: "axis", lineWidth: 1, globalAlpha: 1 };
  const nothing = (): void => undefined;
  const own: Record<string, unknown> = { ...more, save: () => void kept.push({ ...state }), restore: () => void Object.assign(state, kept.pop()) };
  return new Proxy(state, { get: (_, name) => ({ ...own, ...state })[name as string] ?? nothing }) as unknown as CanvasRenderingContext2D & { strokeStyle: string }; // prettier-ignore
}

it("leaves the canvas as uPlot set it, which it will not set again", () => {
  vi.stubGlobal("window", { devicePixelRatio: 1 });
  const ctx = context();
  const line = { id: 0, x: Float64Array.of(1, 2), y: Float64Array.of(1, Number.NaN), length: 2, colour: "red", isStrong: true, label: "a" };
  const spec: ChartSpec = { lines: [line], bands: [], isLogX: false, isLogY: false, isDashed: false, isTrimmed: false, xKind: "number" };
  drawSpec({ ctx, bbox: { left: 0, top: 0, width: 100, height: 100 }, scales: { x: { min: 1, max: 2 }, y: { min: 0, max: 1 } } } as unknown as uPlot, spec);
  expect([ctx.strokeStyle, ctx.fillStyle, ctx.lineWidth]).toEqual(["grid", "axis", 1]);
});

it("draws a band that goes below zero down to the end of a log axis, not across it", () => {
  vi.stubGlobal("window", { devicePixelRatio: 1 });
  const points: number[][] = [];
  const ctx = context({ lineTo: (x: number, y: number) => points.push([x, Math.round(y)]) });
  const band = { x: Float64Array.of(1, 2, 3), low: Float64Array.of(10, -5, 0), high: Float64Array.of(100, 100, 100), length: 3, colour: "red" };
  const spec: ChartSpec = { lines: [], bands: [band], isLogX: false, isLogY: true, isDashed: false, isTrimmed: false, xKind: "number" };
  drawSpec({ ctx, bbox: { left: 0, top: 0, width: 100, height: 90 }, scales: { x: { min: 1, max: 3 }, y: { min: 1, max: 1000 } } } as unknown as uPlot, spec);
  expect(points).toEqual([[0, 30], [50, 30], [100, 30], [100, 90], [50, 90], [0, 60]]); // prettier-ignore
});
