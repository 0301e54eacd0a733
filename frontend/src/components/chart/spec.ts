// What a chart is given: lines of any number of points each, a layer of curves that are too many, bands.
import type { Layer } from "@/lib/panel/picture";
import type { Span } from "@/lib/panel/ranges";

export type { Span } from "@/lib/panel/ranges";

export interface Line {
  readonly id: number;
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly length: number;
  readonly colour: string;
  readonly isStrong: boolean;
  /** Where it is another than the chart's. */
  readonly isDashed?: boolean;
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

export interface ChartSpec {
  readonly lines: readonly Line[];
  /** Curves that are too many to tell apart: one grey picture, darker where more of them are. */
  readonly layer?: Layer | null;
  readonly bands: readonly Band[];
  readonly isLogX: boolean;
  readonly isLogY: boolean;
  readonly isDashed: boolean;
  /** Whether the height is that of most values, so that few that went astray do not flatten the others. */
  readonly isTrimmed: boolean;
  readonly xKind: "number" | "duration" | "moment";
  /** How far the axes reach, where more is shown than the lines. */
  readonly spans?: { readonly x: Span; readonly y: Span };
}
