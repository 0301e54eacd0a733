// How far axes reach.

export type Span = readonly [low: number, high: number];
/** A column, of which only so many values count. */
export type Column = readonly [values: Float64Array, length: number];

/** Gives the range of the finite values of columns; positive ones only for a log axis. */
export function rangeOf(columns: readonly Column[], isLog: boolean): Span | null {
  const least = isLog ? Number.MIN_VALUE : -Number.MAX_VALUE;
  let [low, high] = [Infinity, -Infinity];
  for (const [column, length] of columns) {
    for (let i = 0; i < length; i += 1) {
      const value = column[i] ?? Number.NaN;
      // NaN compares as false, and infinities are beyond the largest number.
      if (value < low && value >= least) low = value;
      if (value > high && value <= Number.MAX_VALUE && value >= least) high = value;
    }
  }
  return low > high ? null : [low, high];
}

const TRIMMED_SHARE = 0.05;
const SAMPLES = 4000;

/** Gives the range of the middle nine tenths of the values, and where everything is near that, the whole one. */
export function trimmedRangeOf(columns: readonly Column[], isLog: boolean): Span | null {
  const whole = rangeOf(columns, isLog);
  const total = columns.reduce((sum, [, length]) => sum + length, 0);
  const every = Math.max(1, Math.floor(total / SAMPLES));
  const sample: number[] = [];
  let seen = 0;
  for (const [column, length] of columns) {
    for (let i = 0; i < length; i += 1, seen += 1) {
      const value = column[i] ?? Number.NaN;
      if (seen % every === 0 && Number.isFinite(value) && (!isLog || value > 0)) sample.push(value);
    }
  }
  sample.sort((a, b) => a - b);
  const at = (share: number): number => sample[Math.round(share * (sample.length - 1))] ?? 0;
  if (whole === null || sample.length < 20) return whole;
  const [low, high] = [at(TRIMMED_SHARE), at(1 - TRIMMED_SHARE)];
  const room = (high - low) * 0.3;
  return [Math.max(whole[0], low - room), Math.min(whole[1], high + room)];
}

/** Gives a range with room around it, so that no line runs along the edge. */
export function padded([low, high]: Span, isLog: boolean, share = 0.05): Span {
  if (isLog) {
    const room = (high / low) ** share;
    return low === high ? [low / 2, high * 2] : [low / room, high * room];
  }
  const room = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * share;
  return [low - room, high + room];
}
