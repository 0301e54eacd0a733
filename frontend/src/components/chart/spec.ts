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

/** Gives a range with room around it, so that no line runs along the edge. */
export function padded([low, high]: Span, isLog: boolean, share = 0.05): Span {
  if (isLog) {
    const room = (high / low) ** share;
    return low === high ? [low / 2, high * 2] : [low / room, high * room];
  }
  const room = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * share;
  return [low - room, high + room];
}
