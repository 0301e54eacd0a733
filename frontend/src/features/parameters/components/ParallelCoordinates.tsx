// Parallel coordinates: a line for each experiment over all parameters to the metric. Dragging along an axis selects the
// experiments that pass there, on every page.
import { useElementSize } from "@mantine/hooks";
import { useEffect, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { selectionColour, themeColour, type Scheme } from "@/lib/colours";
import { useScheme } from "@/lib/scheme";
import { select, type Selection } from "@/lib/selection";
import type { ExperimentRow } from "@/types/api";
import { axisOf, brushAfter, brushed, valueAt, type Axis, type Brushes, type Span } from "../model/axes";
import type { Shared } from "../model/shared";
import classes from "./Parameters.module.css";

const [TOP, BOTTOM, SIDE] = [34, 14, 60];
const HEIGHT = 320;
/** Between two axes; where there is less room, they are scrolled. */
const LEAST_SPACE = 92;
const CHARACTER_PX = 6.6;
const MAX_TICK = 12;
const NO_BRUSHES: Brushes = new Map();

interface Props {
  readonly shared: Shared;
  readonly metricAxis: Axis;
  readonly selection: Selection;
}

export function ParallelCoordinates({ shared, metricAxis, selection }: Props): ReactNode {
  const { rows, swept, short } = shared;
  const { ref, width: room } = useElementSize();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [made, setMade] = useState<{ readonly brushes: Brushes; readonly ids: string }>({ brushes: NO_BRUSHES, ids: "" });
  // Brushes stand as long as what they selected is what is selected.
  const brushes = made.ids === selection.ids.join() ? made.brushes : NO_BRUSHES;
  const scheme = useScheme();
  const axes = useMemo(() => [...swept.map((key) => axisOf(rows, key, short.get(key) ?? key)), metricAxis], [rows, swept, short, metricAxis]);
  const width = room === 0 ? 0 : Math.max(room, 2 * SIDE + (axes.length - 1) * LEAST_SPACE);
  const space = (width - 2 * SIDE) / Math.max(1, axes.length - 1);
  const hasGaps = useMemo(() => swept.some((key) => rows.some((row) => valueAt(row, key) === null)), [swept, rows]);
  useEffect(() => {
    if (canvas.current !== null && width > 0) draw(canvas.current, width, axes, shared, selection, scheme);
  }, [width, axes, shared, selection, scheme]);
  const change = (axis: Axis, span: Span | null): void => {
    const next = new Map(brushes);
    if (span === null) next.delete(axis.key);
    else next.set(axis.key, span);
    const ids = next.size === 0 ? [] : brushed(rows, axes, next);
    setMade({ brushes: next, ids: ids.join() });
    select(ids);
  };
  const clear = (): void => {
    setMade({ brushes: NO_BRUSHES, ids: "" });
    select([]);
  };
  return (
    <section className={classes.section} aria-label="Parallel coordinates">
      <p>
        Drag along an axis, or focus it and use the arrows, to select what passes there. {hasGaps ? "A line has a gap where an experiment does not have the parameter. " : ""}
        {brushes.size === 0 ? null : (
          <Button look="quiet" onClick={clear}>
            Clear the brushes
          </Button>
        )}
      </p>
      <div ref={ref} className={classes.scroll} tabIndex={width > room ? 0 : undefined} role="group" aria-label="Axes, scrolled to the side">
        <div className={classes.parallel} style={{ width: width === 0 ? undefined : width }}>
          <canvas ref={canvas} aria-hidden />
          {width === 0 ? null : (
            <svg role="group" aria-label={`Axes: ${axes.map(({ title }) => title).join(", ")}`}>
              {axes.map((axis, index) => (
                <AxisMarks key={axis.key} axis={axis} x={SIDE + index * space} space={space} isLast={index === axes.length - 1} brush={brushes.get(axis.key)} onBrush={(span) => change(axis, span)} />
              ))}
            </svg>
          )}
        </div>
      </div>
    </section>
  );
}

const yOf = (at: number): number => TOP + (1 - at) * (HEIGHT - TOP - BOTTOM);
const STUB = 3;
const atOf = (y: number): number => 1 - (y - TOP) / (HEIGHT - TOP - BOTTOM);

function draw(canvas: HTMLCanvasElement, width: number, axes: readonly Axis[], shared: Shared, selection: Selection, scheme: Scheme): void {
  const ratio = window.devicePixelRatio;
  [canvas.width, canvas.height] = [Math.round(width * ratio), HEIGHT * ratio];
  const ctx = canvas.getContext("2d");
  if (ctx === null) return;
  ctx.scale(ratio, ratio);
  const isSelecting = selection.ids.length > 0;
  const grey = themeColour("--grey-curve");
  const isAbove = (row: ExperimentRow): boolean => isSelecting && selection.set.has(row.experiment_id);
  const ordered = [...shared.rows].sort((a, b) => Number(isAbove(a)) - Number(isAbove(b)));
  for (const row of ordered) {
    const slot = selection.slotOf(row.experiment_id);
    const colour = slot === null ? shared.colourOf(row) : selectionColour(slot, scheme);
    const isGrey = (isSelecting && !isAbove(row)) || colour === null;
    ctx.strokeStyle = isGrey ? grey : colour;
    ctx.globalAlpha = isGrey ? 0.35 : shared.rows.length > 200 ? 0.55 : 0.85;
    ctx.lineWidth = isAbove(row) ? 1.8 : 1.1;
    ctx.beginPath();
    let isGoingOn = false;
    axes.forEach((axis, index) => {
      const at = axis.positionOf(valueAt(row, axis.key));
      const x = SIDE + (index / Math.max(1, axes.length - 1)) * (width - 2 * SIDE);
      // A value that is missing is a gap; one between two gaps is still seen.
      if (at !== null && !isGoingOn) ctx.moveTo(x - STUB, yOf(at));
      if (at !== null) ctx.lineTo(x, yOf(at));
      isGoingOn = at !== null;
    });
    ctx.stroke();
  }
}

interface MarksProps {
  readonly axis: Axis;
  readonly x: number;
  /** To the next axis. */
  readonly space: number;
  readonly isLast: boolean;
  readonly brush: Span | undefined;
  readonly onBrush: (span: Span | null) => void;
}

function AxisMarks({ axis, x, space, isLast, brush, onBrush }: MarksProps): ReactNode {
  const start = useRef<number | null>(null);
  const [drawn, setDrawn] = useState<Span | null>(null);
  const at = (event: PointerEvent<SVGRectElement>): number => {
    const { top } = event.currentTarget.ownerSVGElement?.getBoundingClientRect() ?? { top: 0 };
    return Math.min(1.02, Math.max(-0.02, atOf(event.clientY - top)));
  };
  const onMove = (event: PointerEvent<SVGRectElement>): void => {
    if (start.current === null) return;
    const now = at(event);
    setDrawn([Math.min(start.current, now), Math.max(start.current, now)]);
  };
  const onUp = (): void => {
    if (start.current === null) return;
    start.current = null;
    // A click without a drag takes the brush away.
    onBrush(drawn !== null && drawn[1] - drawn[0] > 0.01 ? drawn : null);
    setDrawn(null);
  };
  const onCancel = (): void => {
    // The finger went to the side: the axes are scrolled.
    start.current = null;
    setDrawn(null);
  };
  const onKey = (event: KeyboardEvent): void => {
    const next = brushAfter(brush, event.key, event.shiftKey);
    if (next === undefined) return;
    event.preventDefault();
    onBrush(next);
  };
  const shown = drawn ?? brush;
  const numCharacters = Math.max(6, Math.floor(space / CHARACTER_PX)) - (axis.isLog ? 6 : 0);
  return (
    <g className={classes.axis}>
      <line x1={x} x2={x} y1={TOP} y2={HEIGHT - BOTTOM} />
      <text className={classes.name} x={x} y={16} textAnchor="middle">
        <title>{axis.key}</title>
        {axis.title.length > numCharacters ? `…${axis.title.slice(1 - numCharacters)}` : axis.title}
        {axis.isLog ? " (log)" : ""}
      </text>
      {axis.ticks.map((tick) => (
        <text key={tick.label} x={isLast ? x + 6 : x - 6} y={yOf(tick.at) + 4} textAnchor={isLast ? "start" : "end"}>
          {tick.label.length > MAX_TICK ? `${tick.label.slice(0, MAX_TICK - 1)}…` : tick.label}
        </text>
      ))}
      {shown === undefined ? null : <rect className={classes.brush} x={x - 8} width={16} y={yOf(shown[1])} height={Math.max(1, yOf(shown[0]) - yOf(shown[1]))} />}
      <rect
        className={classes.hit}
        data-axis={axis.key}
        x={x - 18}
        width={36}
        y={TOP - 8}
        height={HEIGHT - TOP - BOTTOM + 16}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          start.current = at(event);
          setDrawn([start.current, start.current]);
        }}
        onPointerMove={onMove}
        onPointerUp={onUp}
        onPointerCancel={onCancel}
        onKeyDown={onKey}
        tabIndex={0}
        role="slider"
        aria-orientation="vertical"
        aria-label={`Brush along ${axis.title}`}
        aria-valuemin={0}
        aria-valuemax={1}
        aria-valuenow={brush === undefined ? 0 : (brush[0] + brush[1]) / 2}
        aria-valuetext={brushWords(axis, brush)}
      />
    </g>
  );
}

function brushWords(axis: Axis, brush: Span | undefined): string {
  if (brush === undefined) return "no brush";
  const within = axis.ticks.filter(({ at }) => at >= brush[0] && at <= brush[1]).map(({ label }) => label);
  return within.length === 0 ? "between two marks" : `about ${within.join(", ")}`;
}
