// uPlot behind a thin wrapper: axes, zoom and cursor are its own, what is drawn comes from a `ChartSpec`.
import { useEffect, useLayoutEffect, useRef, useState, type ReactNode } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { themeColour } from "@/lib/colours";
import { formatClock, formatDuration, formatNumber } from "@/lib/format";
import type { PanelFrame } from "@/lib/panel/picture";
import { padded, rangeOf, trimmedRangeOf, type Span } from "@/lib/panel/ranges";
import { useScheme } from "@/lib/scheme";
import classes from "./Chart.module.css";
import { drawLifted, drawSpec } from "./draw";
import { nearestReadings, readingsAt, type Reading } from "./hover";
import type { ChartSpec } from "./spec";

interface Props {
  readonly spec: ChartSpec;
  readonly label: string;
  readonly height: number;
  /** What is shown along x; null for everything. */
  readonly zoom: Span | null;
  readonly onZoom: (zoom: Span | null) => void;
  readonly onPick?: (id: number) => void;
  /** Charts of one name share their cursor. */
  readonly syncKey?: string;
  readonly onReady?: (canvas: HTMLCanvasElement | null) => void;
  /** What is to be drawn is still on its way: the plot is there, but hidden. */
  readonly isWaiting?: boolean;
  /** Told at each drawing what of the axes is shown, and how large. */
  readonly onFrame?: (frame: PanelFrame) => void;
}

interface Hover {
  readonly left: number;
  readonly width: number;
  readonly x: number;
  readonly shown: readonly Reading[];
  readonly nearest: Reading | null;
}

const MAX_READINGS = 8;
const MAX_DECIMALS = 10;
const [AXIS_PX, DIGIT_PX] = [52, 6.3];
const PICK_PX = 24;

export function Chart(props: Props): ReactNode {
  const { spec, label, height, zoom, isWaiting = false } = props;
  const box = useRef<HTMLDivElement>(null);
  const lifted = useRef<HTMLCanvasElement>(null);
  const plot = useRef<uPlot | null>(null);
  // uPlot's callbacks outlive a render; what they look at is always the latest.
  const latest = useRef(props);
  const zoomY = useRef<Span | null>(null);
  const [hover, setHover] = useState<Hover | null>(null);
  const scheme = useScheme();
  useLayoutEffect(() => {
    latest.current = props;
  });

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    const u = new uPlot(optionsOf(element.clientWidth, latest, zoomY, setHover), [[0, 1], [0, 1]], element); // prettier-ignore
    plot.current = u;
    latest.current.onReady?.(u.ctx.canvas);
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) u.setSize({ width: element.clientWidth, height: latest.current.height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      latest.current.onReady?.(null);
      plot.current = null;
      u.destroy();
    };
    // Log axes and colours are fixed when a plot is made.
  }, [spec.isLogX, spec.isLogY, spec.xKind, height, scheme]);

  useEffect(() => {
    const u = plot.current;
    if (u === null) return;
    const [x, y] = spansOf(spec, zoom, zoomY.current);
    u.batch(() => {
      u.setScale("x", { min: x[0], max: x[1] });
      u.setScale("y", { min: y[0], max: y[1] });
      u.redraw(false, true);
    });
  }, [spec, zoom, scheme, height]);

  useEffect(() => {
    lift(plot.current, lifted.current, hover?.nearest ?? null, spec);
  }, [hover, spec]);

  return (
    <div className={classes.chart} role="img" aria-label={isWaiting ? `Waiting for ${label}` : label} aria-busy={isWaiting}>
      <div ref={box} style={{ height }} />
      <canvas ref={lifted} className={classes.lifted} aria-hidden />
      {hover === null || hover.shown.length === 0 ? null : <Readings hover={hover} spec={spec} />}
    </div>
  );
}

function spansOf(spec: ChartSpec, zoom: Span | null, zoomY: Span | null): readonly [Span, Span] {
  if (spec.spans !== undefined) return [zoom ?? spec.spans.x, zoomY ?? spec.spans.y];
  const x = zoom ?? rangeOf(spec.lines.map((line) => [line.x, line.length] as const), spec.isLogX) ?? [0, 1]; // prettier-ignore
  const wide: Span = x[0] === x[1] ? padded(x, spec.isLogX) : x;
  if (zoomY !== null) return [wide, zoomY];
  const bands = spec.bands.flatMap((band) => [[band.low, band.length], [band.high, band.length]] as const); // prettier-ignore
  const lines = spec.lines.map((line) => [line.y, line.length] as const);
  const raws = spec.lines.flatMap((line) => (line.raw === undefined ? [] : [[line.raw, line.length] as const]));
  const y = (spec.isTrimmed ? trimmedRangeOf : rangeOf)([...lines, ...raws, ...bands], spec.isLogY) ?? (spec.isLogY ? [0.1, 1] : [0, 1]);
  return [wide, padded(y, spec.isLogY)];
}

/** By itself, uPlot would make a log axis end at a power of ten: of 30 epochs, half of the chart would be empty. */
const asGiven: uPlot.Scale.Range = (_, low, high) => (low > 0 ? [low, high] : [0.1, 1]);

/** How uPlot names linear and logarithmic scales; its enum exists in its types only. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
const distribution = (isLog: boolean): uPlot.Scale.Distr => (isLog ? 3 : 1);

const scaleOf = (isLog: boolean): uPlot.Scale => ({ distr: distribution(isLog), auto: false, ...(isLog ? { range: asGiven } : {}) });

type Latest = { readonly current: Props };

function optionsOf(width: number, latest: Latest, zoomY: { current: Span | null }, setHover: (hover: Hover | null) => void): uPlot.Options {
  const { spec, height, syncKey } = latest.current;
  // Colours are looked up once: a plot is made anew for another scheme.
  const grey = greyOf();
  const axis = { stroke: themeColour("--dim"), font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: themeColour("--sunk"), width: 1 } };
  const resetY = (u: uPlot): void => {
    zoomY.current = null;
    const [, y] = spansOf(latest.current.spec, null, null);
    u.setScale("y", { min: y[0], max: y[1] });
  };
  return {
    width,
    height,
    legend: { show: false },
    padding: [8, 22, 0, 0],
    scales: { x: { ...scaleOf(spec.isLogX), time: false }, y: scaleOf(spec.isLogY) },
    series: [{}, { show: true, paths: () => null, points: { show: false } }],
    axes: [
      { ...axis, size: 26, gap: 4, space: 60, ...(spec.xKind === "number" ? { incrs: WHOLE_STEPS } : {}), values: (_, splits) => splits.map((value) => xWords(value, spec.xKind)) },
      { ...axis, ...(spec.isLogY ? { filter: named, grid: { ...axis.grid, filter: named } } : {}), size: (_, words) => sizeOf(words), gap: 5, space: 32, values: (_, splits) => splits.map((value) => yWords(value, spec.isLogY, stepOf(splits))) },
    ],
    cursor: {
      points: { show: false },
      drag: { x: true, y: false, setScale: false, dist: 5 },
      ...(syncKey === undefined ? {} : { sync: { key: syncKey, scales: ["x", null] as [string, null], setSeries: false } }),
      bind: {
        // Dragging zooms x, with shift y.
        mousedown: (u, _, handler) => (event) => {
          Object.assign(u.cursor.drag ?? {}, { x: !event.shiftKey, y: event.shiftKey });
          handler(event);
          return null;
        },
        dblclick: (u) => () => {
          resetY(u);
          latest.current.onZoom(null);
          return null;
        },
        click: (u) => () => {
          const { onPick } = latest.current;
          const found = onPick === undefined ? null : hoverOf(u, latest.current.spec, PICK_PX).nearest;
          if (found !== null) onPick?.(found.line.id);
          return null;
        },
      },
    },
    hooks: {
      draw: [
        (u) => {
          const { spec: now, zoom, isWaiting, onFrame } = latest.current;
          if (isWaiting !== true) drawSpec(u, now);
          u.root.dataset.state = isWaiting === true ? "waiting" : isSharp(u, now) ? "sharp" : "coarse";
          onFrame?.({ x: zoom, y: zoomY.current, width: u.bbox.width, height: u.bbox.height, grey });
        },
      ],
      setSelect: [
        (u) => {
          const { left, top, width: wide, height: tall } = u.select;
          if (u.cursor.drag?.y === true && tall > 4) {
            zoomY.current = [u.posToVal(top + tall, "y"), u.posToVal(top, "y")];
            u.setScale("y", { min: zoomY.current[0], max: zoomY.current[1] });
          } else if (wide > 4) latest.current.onZoom([u.posToVal(left, "x"), u.posToVal(left + wide, "x")]);
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
      setCursor: [
        (u) => {
          // Of charts that only follow another one's cursor, the hair line is enough.
          const { left = -1, event } = u.cursor;
          const isOwn = event?.target instanceof Node && u.root.contains(event.target);
          setHover(left >= 0 && isOwn ? hoverOf(u, latest.current.spec, Infinity) : null);
        },
      ],
    },
  };
}

/** Tells whether the layer is that of the axes as they are, rather than the last one stretched. */
function isSharp(u: uPlot, { layer }: ChartSpec): boolean {
  const { x, y } = u.scales;
  return layer == null || (layer.x[0] === x?.min && layer.x[1] === x.max && layer.y[0] === y?.min && layer.y[1] === y.max);
}

function greyOf(): PanelFrame["grey"] {
  const grey = themeColour("--grey-curve");
  return [1, 3, 5].map((at) => Number.parseInt(grey.slice(at, at + 2), 16)) as [number, number, number];
}

const WHOLE = new Intl.NumberFormat("en");

function hoverOf(u: uPlot, spec: ChartSpec, within: number): Hover {
  const { left = 0, top = 0 } = u.cursor;
  const [x, y] = [u.posToVal(left, "x"), u.posToVal(top, "y")];
  const reach = Math.abs(u.posToVal(left + 30, "x") - x);
  const { shown, nearest } = nearestReadings(readingsAt(spec.lines, x, reach), y, MAX_READINGS);
  const isNear = nearest !== null && Math.abs(u.valToPos(nearest.y, "y") - top) <= within;
  return { left: left + u.bbox.left / uPlot.pxRatio, width: u.width, x: nearest?.x ?? x, shown, nearest: isNear ? nearest : null };
}

function lift(u: uPlot | null, canvas: HTMLCanvasElement | null, reading: Reading | null, spec: ChartSpec): void {
  const ctx = canvas?.getContext("2d");
  if (u === null || canvas === null || ctx == null) return;
  const { width, height } = u.ctx.canvas;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  ctx.clearRect(0, 0, width, height);
  if (reading !== null) drawLifted(ctx, u, reading.line, spec);
}

function Readings({ hover, spec }: { readonly hover: Hover; readonly spec: ChartSpec }): ReactNode {
  const { width } = hover;
  const isRight = hover.left > width / 2;
  return (
    <div className={classes.readings} style={isRight ? { right: width - hover.left + 12, maxWidth: hover.left - 12 } : { left: hover.left + 12, maxWidth: width - hover.left - 12 }}>
      <div className="dim number">{xWords(hover.x, spec.xKind)}</div>
      {hover.shown.map(({ line, y }) => (
        <div key={line.id} className={classes.reading} data-nearest={line === hover.nearest?.line}>
          <i style={{ background: line.colour }} />
          <span>{line.label}</span>
          <b className="number">{formatNumber(y)}</b>
        </div>
      ))}
    </div>
  );
}

function xWords(value: number | null, kind: ChartSpec["xKind"]): string {
  if (value === null) return "";
  if (kind === "duration") return formatDuration(value);
  if (kind === "moment") return formatClock(value);
  return Number.isInteger(value) ? WHOLE.format(value) : formatNumber(value, 3);
}

const isPowerOfTen = (value: number): boolean => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9;

const isHalfway = (value: number): boolean => [1, 2, 5].some((one) => isPowerOfTen(value / one));

/** Of a log axis only powers of ten have lines and names, the others would be a grey field; within one, those of 2 and 5 do. */
function named(u: uPlot, splits: readonly number[]): (number | null)[] {
  const low = u.scales.y?.min ?? 0;
  const isWide = splits.filter((value) => value >= low && isPowerOfTen(value)).length > 1;
  return splits.map((value) => (isWide ? isPowerOfTen(value) : isHalfway(value)) ? value : null);
}

const yWords = (value: number | null, isLog: boolean, step: number): string => (value === null ? "" : isLog ? logWords(value) : shorter(value, step));

const logWords = (value: number): string => (value >= 1e5 || value < 1e-3 ? value.toExponential(0).replace("+", "") : String(Number(value.toPrecision(3))));

const stepOf = (splits: readonly number[]): number => Math.abs((splits[1] ?? 1) - (splits[0] ?? 0)) || 1;

/** Gives how many digits behind the point a step has: 2 for 0.05. */
function decimalsOf(step: number): number {
  let decimals = 0;
  while (decimals < MAX_DECIMALS && !isWhole(step * 10 ** decimals)) decimals += 1;
  return decimals;
}

const isWhole = (value: number): boolean => value > 0.5 && Math.abs(value - Math.round(value)) < 1e-6 * value;

/** Gives the room that the words of the axis need: a value that hardly changes has many digits. */
function sizeOf(words: readonly (string | null)[] | null): number {
  const longest = Math.max(0, ...(words ?? []).map((word) => word?.length ?? 0));
  return Math.max(AXIS_PX, Math.ceil(longest * DIGIT_PX) + 10);
}

/** Epochs and steps are whole, and so are the ticks between them. */
const WHOLE_STEPS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((one) => one * 10 ** power)).flat();

/** Gives a tick with as many digits as tell it from the next one. */
function shorter(value: number, step: number): string {
  const size = Math.max(Math.abs(value), step);
  const decimals = decimalsOf(step);
  if (size >= 1e5 || (size < 1e-3 && decimals > 4)) return value === 0 ? "0" : value.toExponential(1).replace(".0e", "e").replace("+", "");
  return value.toFixed(decimals);
}
