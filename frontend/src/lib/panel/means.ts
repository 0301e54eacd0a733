// The mean of several curves, with one standard deviation to both sides.
import type { Curve } from "../curves";
import { spreadOf } from "../statistics";

export interface Mean {
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** Over how many curves. */
  readonly n: number;
  /** Over how many where the fewest have a value: some end early, or have none that is finite. */
  readonly least: number;
}

/** Gives the mean of curves at each of their epochs or steps, which are the same moments for all; null where none has a value. */
export function meanOf(curves: readonly Curve[], axis: "epoch" | "step"): Mean | null {
  const at = new Map<number, number[]>();
  let n = 0;
  for (const curve of curves) {
    if (curve.length === 0) continue;
    n += 1;
    const x = axis === "step" ? curve.steps : curve.epochs;
    for (let i = 0; i < curve.length; i += 1) {
      const values = at.get(x[i] ?? 0);
      if (values === undefined) at.set(x[i] ?? 0, [curve.values[i] ?? Number.NaN]);
      else values.push(curve.values[i] ?? Number.NaN);
    }
  }
  if (n === 0) return null;
  const places = [...at.keys()].sort((a, b) => a - b);
  const spreads = places.map((place) => spreadOf(at.get(place) ?? []));
  const column = (of: (spread: NonNullable<(typeof spreads)[number]>) => number): Float64Array =>
    Float64Array.from(spreads, (spread) => (spread === null ? Number.NaN : of(spread)));
  return {
    x: Float64Array.from(places),
    y: column(({ mean }) => mean),
    low: column(({ mean, sd }) => mean - (sd ?? 0)),
    high: column(({ mean, sd }) => mean + (sd ?? 0)),
    n,
    least: spreads.reduce((least, spread) => Math.min(least, spread?.n ?? 0), n),
  };
}
