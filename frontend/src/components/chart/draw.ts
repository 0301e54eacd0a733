// Lines, bands and marks onto uPlot's canvas. uPlot keeps axes, scales, zoom and cursor; points of curves are ours, since
// each curve has its own x: joining a thousand of them on one axis would cost more than drawing them.
import type uPlot from "uplot";
import { themeColour } from "@/lib/colours";
import type { Layer } from "@/lib/panel/picture";
import type { Band, ChartSpec, Line } from "./spec";

const DASH = [5, 3];
const [THIN, STRONG] = [1, 1.6];

interface Pixels {
  readonly toX: (value: number) => number;
  readonly toY: (value: number) => number;
}

/** Gives the way from values to canvas pixels; faster than `valToPos`, which looks everything up for each point. */
function pixelsOf(u: uPlot, spec: Pick<ChartSpec, "isLogX" | "isLogY">): Pixels {
  const { left, top, width, height } = u.bbox;
  const along = (scale: string, isLog: boolean): ((value: number) => number) => {
    const { min = 0, max = 1 } = u.scales[scale] ?? {};
    const of = isLog ? Math.log : (value: number) => value;
    const [low, high] = [of(min), of(max)];
    return (value) => (of(value) - low) / (high - low);
  };
  const [shareX, shareY] = [along("x", spec.isLogX), along("y", spec.isLogY)];
  return { toX: (value) => left + shareX(value) * width, toY: (value) => top + (1 - shareY(value)) * height };
}

export function drawSpec(u: uPlot, spec: ChartSpec): void {
  const { ctx } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  ctx.clip();
  const pixels = pixelsOf(u, spec);
  if (spec.layer != null) drawLayer(ctx, spec.layer, pixels);
  const bottom = u.bbox.top + u.bbox.height;
  for (const band of spec.bands) drawBand(ctx, band, pixels, bottom);
  for (const line of spec.lines) if (!line.isStrong) drawLine(ctx, line, pixels, line.isDashed ?? spec.isDashed);
  for (const line of spec.lines) if (line.isStrong) drawLine(ctx, line, pixels, line.isDashed ?? spec.isDashed);
  ctx.restore();
  // uPlot remembers the colours that it set: what is left changed here, its grid would be drawn in.
  ctx.save();
  for (const line of spec.lines) markNonFinite(u, line, pixels);
  ctx.restore();
}

/** Until the picture of another part of the axes is there, the last one is stretched to it. */
function drawLayer(ctx: CanvasRenderingContext2D, { bitmap, x, y }: Layer, { toX, toY }: Pixels): void {
  const [left, top] = [toX(x[0]), toY(y[1])];
  ctx.drawImage(bitmap, left, top, toX(x[1]) - left, toY(y[0]) - top);
}

/** A band that goes below zero goes to the bottom of a log axis. */
function drawBand(ctx: CanvasRenderingContext2D, { x, low, high, length, colour }: Band, { toX, toY }: Pixels, bottom: number): void {
  const toEdge = (value: number): number => (value <= 0 && !Number.isFinite(toY(value)) ? bottom : toY(value));
  ctx.beginPath();
  for (let i = 0; i < length; i += 1) ctx.lineTo(toX(x[i] ?? 0), toEdge(high[i] ?? 0));
  for (let i = length - 1; i >= 0; i -= 1) ctx.lineTo(toX(x[i] ?? 0), toEdge(low[i] ?? 0));
  ctx.closePath();
  ctx.globalAlpha = 0.16;
  ctx.fillStyle = colour;
  ctx.fill();
  ctx.globalAlpha = 1;
}

function drawLine(ctx: CanvasRenderingContext2D, line: Line, pixels: Pixels, isDashed: boolean): void {
  const ratio = window.devicePixelRatio;
  ctx.strokeStyle = line.colour;
  ctx.lineJoin = "round";
  ctx.setLineDash(isDashed ? DASH.map((one) => one * ratio) : []);
  if (line.raw !== undefined) {
    ctx.globalAlpha = 0.28;
    ctx.lineWidth = THIN * ratio;
    stroke(ctx, line, line.raw, pixels);
    ctx.globalAlpha = 1;
  }
  ctx.lineWidth = (line.isStrong ? STRONG : THIN) * ratio;
  stroke(ctx, line, line.y, pixels);
  ctx.setLineDash([]);
}

function stroke(ctx: CanvasRenderingContext2D, { x, length }: Line, y: Float64Array, { toX, toY }: Pixels): void {
  ctx.beginPath();
  let isDown = false;
  for (let i = 0; i < length; i += 1) {
    const [px, py] = [toX(x[i] ?? Number.NaN), toY(y[i] ?? Number.NaN)];
    // What is missing or not finite is a gap.
    if (!Number.isFinite(px) || !Number.isFinite(py)) isDown = false;
    else if (isDown) ctx.lineTo(px, py);
    else {
      ctx.moveTo(px, py);
      isDown = true;
    }
  }
  ctx.stroke();
  if (length === 1) dot(ctx, toX(x[0] ?? 0), toY(y[0] ?? 0));
}

function dot(ctx: CanvasRenderingContext2D, x: number, y: number): void {
  ctx.fillStyle = ctx.strokeStyle;
  ctx.beginPath();
  ctx.arc(x, y, 2.5 * window.devicePixelRatio, 0, 2 * Math.PI);
  ctx.fill();
}

/** A value that is not finite stands as a mark on the edge: a cross below for NaN, a triangle where it went. */
function markNonFinite(u: uPlot, line: Line, { toX }: Pixels): void {
  const { ctx } = u;
  const size = 3.5 * window.devicePixelRatio;
  const [top, bottom] = [u.bbox.top + size, u.bbox.top + u.bbox.height - size];
  const values = line.raw ?? line.y;
  ctx.strokeStyle = ctx.fillStyle = line.colour;
  ctx.lineWidth = 1.5 * window.devicePixelRatio;
  for (let i = 0; i < line.length; i += 1) {
    const value = values[i] ?? 0;
    if (Number.isFinite(value)) continue;
    const x = toX(line.x[i] ?? 0);
    if (x < u.bbox.left - 1 || x > u.bbox.left + u.bbox.width + 1) continue;
    ctx.beginPath();
    if (Number.isNaN(value)) {
      ctx.moveTo(x - size, bottom - size);
      ctx.lineTo(x + size, bottom + size);
      ctx.moveTo(x + size, bottom - size);
      ctx.lineTo(x - size, bottom + size);
      ctx.stroke();
    } else {
      const [y, sign] = value > 0 ? [top, 1] : [bottom, -1];
      ctx.moveTo(x - size, y + sign * size);
      ctx.lineTo(x + size, y + sign * size);
      ctx.lineTo(x, y - sign * size);
      ctx.fill();
    }
  }
}

/** Draws one line over everything, with a rim of the page's colour that lifts it out. */
export function drawLifted(ctx: CanvasRenderingContext2D, u: uPlot, line: Line, spec: ChartSpec): void {
  const pixels = pixelsOf(u, spec);
  const ratio = window.devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  ctx.clip();
  ctx.lineJoin = "round";
  for (const [colour, width] of [[themeColour("--paper"), 5], [line.colour, 2.25]] as const) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = width * ratio;
    stroke(ctx, line, line.y, pixels);
  }
  ctx.restore();
} // prettier-ignore
