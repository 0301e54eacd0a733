// What the page asks the worker to draw of one metric, and what it gets: lines of as many points as the chart has
// pixels, bands, and everything else as one picture. The columns themselves stay in the worker.
import type { CurveChoice } from "../curves";
import type { Span } from "./ranges";

export type XAxis = "epoch" | "step" | "since" | "time";

/** Where the curves come from. */
export interface PanelSource {
  readonly run: string;
  /** As of so many events; null for now, and whatever comes. */
  readonly at: number | null;
  readonly choice: CurveChoice;
  readonly url: string;
  readonly token: string | null;
}

export interface PanelAsk {
  readonly key: string;
  /** In the order in which they are drawn. */
  readonly experiments: readonly number[];
  /** When each of them began, for an axis that counts from there. */
  readonly startedAt: readonly (number | null)[] | null;
  /** Which mean each of them belongs to; null for single curves. */
  readonly groups: readonly number[] | null;
  /** Those that are lines however many there are. */
  readonly chosen: readonly number[];
  readonly x: XAxis;
  readonly smoothing: number;
  readonly isLogX: boolean;
  readonly isLogY: boolean;
  /** Whether the height is that of most values, so that few that went astray do not flatten the others. */
  readonly isTrimmed: boolean;
}

/** What a chart shows and how large it is, in pixels of the canvas. */
export interface PanelFrame {
  /** Null for everything. */
  readonly x: Span | null;
  readonly y: Span | null;
  readonly width: number;
  readonly height: number;
  /** Of the layer, as red, green and blue. */
  readonly grey: readonly [number, number, number];
}

export interface PanelLine {
  /** The experiment, or the number of the mean. */
  readonly id: number;
  readonly x: Float64Array;
  readonly y: Float64Array;
  /** Drawn thinly below, where `y` is smoothed. */
  readonly raw?: Float64Array;
  /** Over how many experiments it is a mean, and over how many where the fewest have a value. */
  readonly n: number;
  readonly least: number;
}

export interface PanelBand {
  readonly id: number;
  readonly x: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
}

/** All other curves as one picture, and what of the axes it covers. */
export interface Layer {
  readonly bitmap: ImageBitmap;
  readonly x: Span;
  readonly y: Span;
}

export interface PanelPicture {
  readonly lines: readonly PanelLine[];
  readonly bands: readonly PanelBand[];
  readonly layer: Layer | null;
  readonly spans: { readonly x: Span; readonly y: Span };
  /** Points of the longest curve that the hub thinned; 0 where it thinned none. */
  readonly numPoints: number;
  /** Whether some of it is zero or less, for which a log axis has no place. */
  readonly isCutByLog: boolean;
}

export const MAX_LINES = 200;
