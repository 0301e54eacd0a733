// A line has more points than a chart has pixels; those are kept that show.
import type { Span } from "./ranges";

/** Gives the first place whose x is at least so much; x grows along a curve. */
export function placeOf(x: Float64Array, length: number, wanted: number): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((x[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Gives from where to where a curve is in sight, with the point before and the one after, so that lines reach the edge. */
export function placesInSight(x: Float64Array, length: number, [low, high]: Span): Span {
  const from = Math.max(0, placeOf(x, length, low) - 1);
  let to = placeOf(x, length, high);
  while (to < length && x[to] === high) to += 1;
  return [from, Math.min(length, to + 1)];
}

/**
 * Gives the places to keep of those from `from` to `to`, growing: of each column of pixels the first, the last, the
 * smallest and the largest, and one value of each kind that is not finite. Null where all are kept.
 */
export function placesToKeep(x: Float64Array, y: Float64Array, [from, to]: Span, [low, high]: Span, columns: number): Int32Array | null {
  if (to - from <= 4 * columns || !(high > low)) return null;
  const kept: number[] = [];
  let begin = from;
  while (begin < to) {
    const column = Math.floor((((x[begin] ?? 0) - low) / (high - low)) * columns);
    let end = begin + 1;
    while (end < to && Math.floor((((x[end] ?? 0) - low) / (high - low)) * columns) === column) end += 1;
    keepOf(y, begin, end, kept);
    begin = end;
  }
  return Int32Array.from(kept);
}

function keepOf(y: Float64Array, begin: number, end: number, kept: number[]): void {
  let [lowest, highest, nan, up, down] = [-1, -1, -1, -1, -1];
  for (let i = begin; i < end; i += 1) {
    const value = y[i] ?? Number.NaN;
    if (Number.isNaN(value)) nan = nan < 0 ? i : nan;
    else if (value === Infinity) up = up < 0 ? i : up;
    else if (value === -Infinity) down = down < 0 ? i : down;
    else {
      if (lowest < 0 || value < (y[lowest] ?? 0)) lowest = i;
      if (highest < 0 || value > (y[highest] ?? 0)) highest = i;
    }
  }
  const places = new Set([begin, lowest, highest, nan, up, down, end - 1]);
  places.delete(-1);
  kept.push(...[...places].sort((a, b) => a - b));
}
