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

/** Where a curve is within each column of pixels; those that no curve entered are `Infinity` and `-Infinity`. */
interface Stretches {
  readonly low: Float64Array;
  readonly high: Float64Array;
}

/** Gives how many curves pass each pixel, (width, height) column by column, from the top. */
export function countCrowd(crowd: readonly CrowdCurve[], window: Window, width: number, height: number): Uint16Array {
  // Each curve covers a stretch of every column; where it begins one is added, behind its end one is taken.
  const stride = height + 1;
  const counts = new Uint16Array(width * stride);
  const stretches = { low: new Float64Array(width).fill(Infinity), high: new Float64Array(width).fill(-Infinity) };
  const { low, high } = stretches;
  for (const curve of crowd) {
    const [first, last] = coverColumns(curve, window, width, height, stretches);
    for (let column = first; column <= last; column += 1) {
      const from = low[column] ?? Infinity;
      const to = high[column] ?? -Infinity;
      low[column] = Infinity;
      high[column] = -Infinity;
      if (from > to || to < 0 || from >= height) continue;
      const begin = column * stride + (from > 0 ? Math.floor(from) : 0);
      const end = column * stride + (to < height ? Math.floor(to) + 1 : height);
      // What is taken below zero wraps around, and comes right again in the sums.
      counts[begin] = (counts[begin] ?? 0) + 1;
      counts[end] = (counts[end] ?? 0) - 1;
    }
  }
  for (let column = 0, at = 0; column < width; column += 1) {
    let count = 0;
    for (let row = 0; row < stride; row += 1, at += 1) {
      count = (count + (counts[at] ?? 0)) & 0xffff;
      counts[at] = count;
    }
  }
  return counts;
}

// The innermost loop of the board, over every point of every curve: plain variables, since each pair would be an object.
function coverColumns({ x, y, length }: CrowdCurve, window: Window, width: number, height: number, { low, high }: Stretches): Span {
  const { isLogX, isLogY } = window;
  const x0 = isLogX ? Math.log(window.x[0]) : window.x[0];
  const y1 = isLogY ? Math.log(window.y[1]) : window.y[1];
  const scaleX = width / ((isLogX ? Math.log(window.x[1]) : window.x[1]) - x0);
  const scaleY = height / (y1 - (isLogY ? Math.log(window.y[0]) : window.y[0]));
  const [from, to] = placesInSight(x, length, window.x);
  let lastX = Number.NaN;
  let lastY = Number.NaN;
  let leftmost = width;
  let rightmost = -1;
  for (let i = from; i < to; i += 1) {
    const valueX = x[i] ?? Number.NaN;
    const valueY = y[i] ?? Number.NaN;
    const px = ((isLogX ? Math.log(valueX) : valueX) - x0) * scaleX;
    const py = (y1 - (isLogY ? Math.log(valueY) : valueY)) * scaleY;
    const isThere = py - py === 0;
    // What is left or right of the picture touches no column.
    if (isThere && px >= 0 && !(lastX > width)) {
      const isJoined = lastY - lastY === 0;
      const slope = isJoined && px > lastX ? (py - lastY) / (px - lastX) : 0;
      const begin = isJoined ? lastX : px;
      const first = begin > 0 ? Math.floor(begin) : 0;
      const last = px < width ? Math.floor(px) : width - 1;
      if (first < leftmost) leftmost = first;
      if (last > rightmost) rightmost = last;
      for (let column = first; column <= last; column += 1) {
        let top = py;
        let bottom = py;
        if (isJoined) {
          const enter = lastY + ((lastX > column ? lastX : column) - lastX) * slope;
          const leave = px > lastX ? lastY + ((px < column + 1 ? px : column + 1) - lastX) * slope : py;
          top = enter < leave ? enter : leave;
          bottom = enter < leave ? leave : enter;
        }
        if (top < (low[column] ?? Infinity)) low[column] = top;
        if (bottom > (high[column] ?? -Infinity)) high[column] = bottom;
      }
    }
    lastX = px;
    lastY = isThere ? py : Number.NaN;
  }
  return [leftmost, rightmost];
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
