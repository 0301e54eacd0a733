// Which curves are near the pointer, and what they are there.
import type { Line } from "./spec";

export interface Reading {
  readonly line: Line;
  readonly x: number;
  readonly y: number;
}

/** Gives the index of the point whose x is nearest; x grows along a curve. */
export function nearestIndex(x: Float64Array, length: number, wanted: number): number {
  let [low, high] = [0, length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((x[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low > 0 && wanted - (x[low - 1] ?? 0) < (x[low] ?? 0) - wanted ? low - 1 : low;
}

/** Gives what each line that reaches there is at x. */
export function readingsAt(lines: readonly Line[], x: number, reach: number): Reading[] {
  return lines.flatMap((line) => {
    if (line.length === 0) return [];
    const at = nearestIndex(line.x, line.length, x);
    const [px, y] = [line.x[at] ?? 0, line.y[at] ?? Number.NaN];
    return Math.abs(px - x) <= reach ? [{ line, x: px, y }] : [];
  });
}

/** Gives the readings nearest to a value, the highest first, and which is the nearest. */
export function nearestReadings(readings: readonly Reading[], y: number, count: number): { readonly shown: Reading[]; readonly nearest: Reading | null } {
  const near = [...readings].sort((a, b) => distance(a.y, y) - distance(b.y, y)).slice(0, count);
  const nearest = near[0] ?? null;
  return { shown: near.sort((a, b) => (Number.isNaN(a.y) ? 1 : Number.isNaN(b.y) ? -1 : b.y - a.y)), nearest };
}

const distance = (a: number, b: number): number => (Number.isFinite(a) ? Math.abs(a - b) : Number.MAX_VALUE);
