// Curves into what a chart draws: lines for those that count, one layer for the rest, means with bands. Runs in the worker.
import type { Curve } from "../curves";
import { countCrowd, crowdPixels, type CrowdCurve } from "./crowd";
import { meanOf } from "./means";
import { MAX_LINES, type Layer, type PanelAsk, type PanelBand, type PanelFrame, type PanelLine, type PanelPicture, type XAxis } from "./picture";
import { padded, rangeOf, trimmedRangeOf, type Column, type Span } from "./ranges";
import { smoothed } from "./smooth";
import { placesInSight, placesToKeep } from "./thin";

const MAX_BANDS = 30;

/** What is drawn, with all points. It stays the same however far somebody zooms in. */
export interface Shape {
  readonly lines: readonly WholeLine[];
  readonly bands: readonly PanelBand[];
  readonly crowd: readonly CrowdCurve[];
  readonly spans: { readonly x: Span; readonly y: Span };
  readonly numPoints: number;
  readonly isCutByLog: boolean;
}

interface WholeLine extends PanelLine {
  readonly length: number;
}

type Drawn = Pick<Shape, "lines" | "bands" | "crowd">;

export function shapeOf(curves: ReadonlyMap<number, Curve>, ask: PanelAsk): Shape {
  const drawn = ask.groups === null ? singleCurves(curves, ask) : meanCurves(curves, ask, ask.groups);
  let numPoints = 0;
  for (const curve of curves.values()) if (curve.wasThinned && curve.numPoints > numPoints) numPoints = curve.numPoints;
  return { ...drawn, spans: spansOf(drawn, ask), numPoints, isCutByLog: isCutByLog(drawn, ask) };
}

/** Gives the column along x; `since` counts from each experiment's first value where its start is not known. */
function xColumn(curve: Curve, axis: XAxis, startedAt: number | null): Float64Array {
  switch (axis) {
    case "epoch":
      return curve.epochs;
    case "step":
      return curve.steps;
    case "time":
      return curve.times;
    case "since": {
      const start = startedAt ?? curve.times[0] ?? 0;
      return curve.times.map((time) => time - start);
    }
  }
}

function singleCurves(curves: ReadonlyMap<number, Curve>, ask: PanelAsk): Drawn {
  const chosen = new Set(ask.chosen);
  const isCrowded = ask.experiments.length > MAX_LINES;
  const [lines, crowd] = [[] as WholeLine[], [] as CrowdCurve[]];
  ask.experiments.forEach((id, i) => {
    const curve = curves.get(id);
    if (curve === undefined || curve.length === 0) return;
    const { length, values } = curve;
    const x = xColumn(curve, ask.x, ask.startedAt?.[i] ?? null);
    const isLine = chosen.has(id) ? lines.length < MAX_LINES : !isCrowded;
    if (isLine) lines.push({ id, x, length, n: 1, least: 1, ...smoothedColumn(values, length, ask.smoothing) });
    else crowd.push({ x, y: values, length });
  });
  return { lines, crowd, bands: [] };
}

function smoothedColumn(values: Float64Array, length: number, weight: number): Pick<PanelLine, "y" | "raw"> {
  return weight > 0 ? { y: smoothed(values, length, weight), raw: values } : { y: values };
}

function meanCurves(curves: ReadonlyMap<number, Curve>, ask: PanelAsk, groups: readonly number[]): Drawn {
  const members = new Map<number, Curve[]>();
  ask.experiments.forEach((id, i) => {
    const [curve, group] = [curves.get(id), groups[i]];
    if (curve === undefined || group === undefined) return;
    const others = members.get(group);
    if (others === undefined) members.set(group, [curve]);
    else others.push(curve);
  });
  const [lines, bands] = [[] as WholeLine[], [] as PanelBand[]];
  for (const [id, own] of [...members].slice(0, MAX_LINES)) {
    const mean = meanOf(own, ask.x === "step" ? "step" : "epoch");
    if (mean === null) continue;
    const { x, y, low, high, n, least } = mean;
    lines.push({ id, x, length: x.length, n, least, ...smoothedColumn(y, y.length, ask.smoothing) });
    bands.push({ id, x, low, high });
  }
  return { lines, bands: bands.length <= MAX_BANDS ? bands : [], crowd: [] };
}

function spansOf({ lines, crowd, bands }: Drawn, ask: PanelAsk): Shape["spans"] {
  const all = [...lines, ...crowd];
  const x = rangeOf(all.map(({ x: column, length }): Column => [column, length]), ask.isLogX) ?? [0, 1]; // prettier-ignore
  const values = all.map(({ y, length }): Column => [y, length]);
  const raws = lines.flatMap(({ raw, length }): Column[] => (raw === undefined ? [] : [[raw, length]]));
  const edges = bands.flatMap(({ low, high }): Column[] => [[low, low.length], [high, high.length]]); // prettier-ignore
  const range = ask.isTrimmed ? trimmedRangeOf : rangeOf;
  const y = range([...values, ...raws, ...edges], ask.isLogY) ?? (ask.isLogY ? [0.1, 1] : [0, 1]);
  return { x: x[0] === x[1] ? padded(x, ask.isLogX) : x, y: padded(y, ask.isLogY) };
}

function isCutByLog({ lines, crowd }: Drawn, { isLogX, isLogY }: PanelAsk): boolean {
  const reachesZero = (column: Float64Array, length: number): boolean => (rangeOf([[column, length]], false)?.[0] ?? 1) <= 0;
  return [...lines, ...crowd].some(({ x, y, length }) => (isLogX && reachesZero(x, length)) || (isLogY && reachesZero(y, length)));
}

/** Gives what a chart of that size shows. `toBitmap` makes a picture of pixels, which only browsers can. */
export function pictureOf(shape: Shape, ask: PanelAsk, frame: PanelFrame, toBitmap: (pixels: ImageDataArray, width: number, height: number) => ImageBitmap): PanelPicture {
  const window = { x: frame.x ?? shape.spans.x, y: frame.y ?? shape.spans.y, isLogX: ask.isLogX, isLogY: ask.isLogY };
  const [width, height] = [Math.max(1, Math.round(frame.width)), Math.max(1, Math.round(frame.height))];
  let layer: Layer | null = null;
  if (shape.crowd.length > 0) {
    const pixels = crowdPixels(countCrowd(shape.crowd, window, width, height), width, height, frame.grey);
    layer = { bitmap: toBitmap(pixels, width, height), x: window.x, y: window.y };
  }
  return {
    lines: shape.lines.map((line) => inSight(line, window.x, ask.isLogX, width)),
    bands: shape.bands,
    layer,
    spans: shape.spans,
    numPoints: shape.numPoints,
    isCutByLog: shape.isCutByLog,
  };
}

/** Gives a line as it shows between two places of x: copies, since the columns stay here. */
function inSight({ id, x, y, raw, length, n, least }: WholeLine, span: Span, isLogX: boolean, columns: number): PanelLine {
  const reach = placesInSight(x, length, span);
  // Columns of pixels are of equal width on a linear axis only; on another one every point is drawn.
  const kept = isLogX ? null : placesToKeep(x, raw ?? y, reach, span, columns);
  const taken = (column: Float64Array): Float64Array =>
    kept === null ? column.slice(reach[0], reach[1]) : Float64Array.from(kept, (place) => column[place] ?? Number.NaN);
  return { id, n, least, x: taken(x), y: taken(y), ...(raw === undefined ? {} : { raw: taken(raw) }) };
}
