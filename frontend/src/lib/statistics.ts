// The few statistics that the board computes itself; each says over how many.

export interface Spread {
  readonly n: number;
  readonly mean: number;
  /** Standard deviation with n - 1; null for fewer than two. */
  readonly sd: number | null;
  readonly low: number;
  readonly high: number;
}

/** Gives mean and spread of the numbers; null where there are none. NaN is left out, and thus not in `n`. */
export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const numbers = values.filter((value): value is number => value !== null && Number.isFinite(value));
  const n = numbers.length;
  if (n === 0) return null;
  const mean = numbers.reduce((sum, value) => sum + value, 0) / n;
  const squares = numbers.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const [low, high] = numbers.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  return { n, mean, sd: n > 1 ? Math.sqrt(squares / (n - 1)) : null, low, high };
}

/** Gives the share of the variance of `y` that the groups of `x` explain (eta squared), 0 to 1; null where undefined. */
export function varianceExplained(pairs: readonly (readonly [x: string, y: number])[]): number | null {
  const whole = spreadOf(pairs.map(([, y]) => y));
  if (whole === null || whole.sd === null || whole.sd === 0) return null;
  const groups = new Map<string, number[]>();
  for (const [x, y] of pairs) groups.set(x, [...(groups.get(x) ?? []), y]);
  if (groups.size < 2) return null;
  let between = 0;
  for (const values of groups.values()) between += values.length * ((spreadOf(values)?.mean ?? 0) - whole.mean) ** 2;
  return between / (whole.sd ** 2 * (whole.n - 1));
}
