// What a chart is given: lines of any number of points each, a grey layer, bands, and what to do when they are touched.

export interface Line {
  readonly id: number;
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly length: number;
  readonly colour: string;
  readonly isStrong: boolean;
  /** Drawn thinly below, where `y` is smoothed. */
  readonly raw?: Float64Array;
  readonly label: string;
}

export interface Band {
  readonly x: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly length: number;
  readonly colour: string;
}

export type Span = readonly [low: number, high: number];

export interface ChartSpec {
  readonly lines: readonly Line[];
  /** Curves that are too many to tell apart: drawn as one grey layer, darker where more of them are. */
  readonly crowd: readonly Pick<Line, "x" | "y" | "length">[];
  readonly bands: readonly Band[];
  readonly isLogX: boolean;
  readonly isLogY: boolean;
  readonly isDashed: boolean;
  /** Whether the height is that of most values, so that few that went astray do not flatten the others. */
  readonly isTrimmed: boolean;
  readonly xKind: "number" | "duration" | "moment";
}

/** Gives the range of the finite values of columns; positive ones only for a log axis. */
export function rangeOf(columns: readonly (readonly [Float64Array, number])[], isLog: boolean): Span | null {
  let [low, high] = [Infinity, -Infinity];
  for (const [column, length] of columns) {
    for (let i = 0; i < length; i += 1) {
      const value = column[i] ?? Number.NaN;
      if (!Number.isFinite(value) || (isLog && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low > high ? null : [low, high];
}

const TRIMMED_SHARE = 0.05;
const SAMPLES = 4000;

/** Gives the range of the middle nine tenths of the values, and where everything is near that, the whole one. */
export function trimmedRangeOf(columns: readonly (readonly [Float64Array, number])[], isLog: boolean): Span | null {
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
