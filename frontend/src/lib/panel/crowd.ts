// A thousand curves as one grey layer: for each pixel how many of them pass.
import type { Span } from "./ranges";
import { placesInSight } from "./thin";

export interface CrowdCurve {
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly length: number;
}

/** What of the axes a picture shows. */
export interface Window {
  readonly x: Span;
  readonly y: Span;
  readonly isLogX: boolean;
  readonly isLogY: boolean;
}

/** Gives how many curves pass each pixel, (width, height + 1) column by column, from the top; the last row is empty. */
export function countCrowd(crowd: readonly CrowdCurve[], window: Window, width: number, height: number): Uint16Array {
  // Each curve covers a stretch of every column; where it begins one is added, behind its end one is taken.
  const stride = height + 1;
  const counts = new Uint16Array(width * stride);
  const steps = stepsOf(window, width, height);
  for (const curve of crowd) addCurve(curve, window.x, steps, counts, width, height);
  for (let column = 0, at = 0; column < width; column += 1) {
    let count = 0;
    for (let row = 0; row < stride; row += 1, at += 1) {
      // What was taken below zero wrapped around, and comes right again here.
      count = (count + (counts[at] ?? 0)) & 0xffff;
      counts[at] = count;
    }
  }
  return counts;
}

/** How values become pixels: those of x from the left, those of y from the top. */
interface Steps {
  readonly x0: number;
  readonly scaleX: number;
  readonly y1: number;
  readonly scaleY: number;
  readonly isLogX: boolean;
  readonly isLogY: boolean;
}

function stepsOf({ x, y, isLogX, isLogY }: Window, width: number, height: number): Steps {
  const along = ([low, high]: Span, isLog: boolean): Span => (isLog ? [Math.log(low), Math.log(high)] : [low, high]);
  const [x0, x1] = along(x, isLogX);
  const [y0, y1] = along(y, isLogY);
  return { x0, scaleX: width / (x1 - x0), y1, scaleY: height / (y1 - y0), isLogX, isLogY };
}

// The innermost loop of the board, over every point of every curve: plain variables, since each pair would be an object.
// It goes from the left to the right with one column at a time, since x grows along a curve.
function addCurve({ x, y, length }: CrowdCurve, sight: Span, steps: Steps, counts: Uint16Array, width: number, height: number): void {
  const { x0, scaleX, y1, scaleY, isLogX, isLogY } = steps;
  const stride = height + 1;
  const [from, to] = placesInSight(x, length, sight);
  let lastX = 0;
  let lastY = 0;
  let isJoined = false;
  let column = -1;
  let low = 0;
  let high = 0;
  for (let i = from; i < to; i += 1) {
    const valueX = x[i] ?? Number.NaN;
    const valueY = y[i] ?? Number.NaN;
    const px = ((isLogX ? Math.log(valueX) : valueX) - x0) * scaleX;
    const py = (y1 - (isLogY ? Math.log(valueY) : valueY)) * scaleY;
    if (py - py !== 0 || px - px !== 0) {
      // What is missing or not finite is a gap.
      if (column >= 0) addStretch(counts, column * stride, low, high, height);
      column = -1;
      isJoined = false;
      continue;
    }
    if (column < 0 && px >= 0) {
      if (isJoined) {
        // It comes in from the left.
        column = 0;
        low = high = lastY - (lastX * (py - lastY)) / (px - lastX);
      } else if (px <= width) {
        column = px < width ? Math.floor(px) : width - 1;
        low = high = py;
      }
    }
    if (column >= 0) {
      const slope = px >= column + 1 && px > lastX && isJoined ? (py - lastY) / (px - lastX) : 0;
      while (px >= column + 1) {
        const crossing = isJoined ? lastY + (column + 1 - lastX) * slope : py;
        if (crossing < low) low = crossing;
        if (crossing > high) high = crossing;
        addStretch(counts, column * stride, low, high, height);
        column += 1;
        if (column >= width) return;
        low = high = crossing;
      }
      if (py < low) low = py;
      if (py > high) high = py;
    }
    lastX = px;
    lastY = py;
    isJoined = true;
  }
  if (column >= 0) addStretch(counts, column * stride, low, high, height);
}

function addStretch(counts: Uint16Array, at: number, low: number, high: number, height: number): void {
  if (high < 0 || low >= height) return;
  const begin = at + (low > 0 ? low | 0 : 0);
  const end = at + (high < height ? (high | 0) + 1 : height);
  counts[begin] = (counts[begin] ?? 0) + 1;
  counts[end] = (counts[end] ?? 0) - 1;
}

/** Gives the layer's pixels, row by row: one curve is faint, many are dark, on a scale that keeps the one in sight. */
export function crowdPixels(counts: Uint16Array, width: number, height: number, [red, green, blue]: readonly [number, number, number]): Uint8ClampedArray<ArrayBuffer> {
  const stride = height + 1;
  let most = 1;
  for (const count of counts) if (count > most) most = count;
  const colour = (blue << 16) | (green << 8) | red;
  const alphaOf = (count: number): number => (count === 0 ? 0 : Math.round(50 + 190 * (Math.log1p(count) / Math.log1p(most))));
  // Little-endian, as every machine with a browser is: red comes first.
  const shades = Uint32Array.from({ length: most + 1 }, (_, count) => (count === 0 ? 0 : ((alphaOf(count) << 24) | colour) >>> 0));
  const pixels = new Uint32Array(width * height);
  for (let row = 0, at = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1, at += 1) pixels[at] = shades[counts[column * stride + row] ?? 0] ?? 0;
  }
  return new Uint8ClampedArray(pixels.buffer);
}
