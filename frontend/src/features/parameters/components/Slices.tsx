// The metric against each parameter: a point for each experiment, a line through the means.
import { useElementSize } from "@mantine/hooks";
import { useEffect, useMemo, useRef, type MouseEvent, type ReactNode } from "react";
import { selectionColour, themeColour } from "@/lib/colours";
import { valueOf } from "@/lib/rowValues";
import { useScheme } from "@/lib/scheme";
import { toggleSelected, type Selection } from "@/lib/selection";
import { spreadOf } from "@/lib/statistics";
import type { ExperimentRow } from "@/types/api";
import { axisOf, valueAt, type Axis } from "../model/axes";
import type { Shared } from "../model/shared";
import classes from "./Parameters.module.css";

const HEIGHT = 180;
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 12, 10, 22];
const NEAR_PX = 12;
const FEW_VALUES = 9;

interface Props {
  readonly shared: Shared;
  readonly metricAxis: Axis;
  readonly selection: Selection;
}

export function Slices({ shared, metricAxis, selection }: Props): ReactNode {
  return (
    <section className={classes.section}>
      <h2>Slices</h2>
      <p>{shared.metric} against each parameter; the line goes through the means of each value, over whatever the other parameters are. Click a point to select its experiment.</p>
      <div className={classes.slices}>
        {shared.swept.map((key) => (
          <Slice key={key} parameter={key} shared={shared} metricAxis={metricAxis} selection={selection} />
        ))}
      </div>
    </section>
  );
}

interface Point {
  readonly row: ExperimentRow;
  readonly x: number;
  readonly y: number;
}

function Slice({ parameter, shared, metricAxis, selection }: Props & { readonly parameter: string }): ReactNode {
  const { ref, width } = useElementSize();
  const canvas = useRef<HTMLCanvasElement>(null);
  const scheme = useScheme();
  const axis = useMemo(() => axisOf(shared.rows, parameter, shared.short.get(parameter) ?? parameter), [shared, parameter]);
  const points = useMemo((): Point[] => {
    return shared.rows.flatMap((row) => {
      const [x, y] = [axis.positionOf(valueAt(row, parameter)), metricAxis.positionOf(valueOf(row, shared.metric))];
      return x === null || y === null ? [] : [{ row, x: LEFT + x * (width - LEFT - RIGHT), y: TOP + (1 - y) * (HEIGHT - TOP - BOTTOM) }];
    });
  }, [shared, axis, metricAxis, parameter, width]);
  useEffect(() => {
    if (canvas.current !== null && width > 0) draw(canvas.current, width, points, axis, metricAxis, (row) => colourOf(row, shared, selection, scheme), selection);
  }, [width, points, axis, metricAxis, shared, selection, scheme]);
  const onClick = (event: MouseEvent): void => {
    const box = canvas.current?.getBoundingClientRect();
    const [x, y] = [event.clientX - (box?.left ?? 0), event.clientY - (box?.top ?? 0)];
    const near = points.map((point) => [Math.hypot(point.x - x, point.y - y), point] as const).sort((a, b) => a[0] - b[0])[0];
    if (near !== undefined && near[0] < NEAR_PX) toggleSelected(near[1].row.experiment_id);
  };
  return (
    <article className={classes.slice}>
      <h3>
        {axis.title}
        {axis.isLog ? <span className="dim"> (log)</span> : null}
      </h3>
      <div ref={ref} className={classes.scatter}>
        <canvas ref={canvas} style={{ height: HEIGHT }} role="img" aria-label={`${shared.metric} against ${parameter}, ${points.length} experiments`} onClick={onClick} />
      </div>
    </article>
  );
}

function colourOf(row: ExperimentRow, shared: Shared, selection: Selection, scheme: "light" | "dark"): string {
  const slot = selection.slotOf(row.experiment_id);
  if (slot !== null) return selectionColour(slot, scheme);
  if (selection.ids.length > 0 && !selection.set.has(row.experiment_id)) return themeColour("--grey-curve");
  return shared.colourOf(row) ?? themeColour("--grey-curve");
}

function draw(canvas: HTMLCanvasElement, width: number, points: readonly Point[], axis: Axis, metricAxis: Axis, colour: (row: ExperimentRow) => string, selection: Selection): void {
  const ratio = window.devicePixelRatio;
  [canvas.width, canvas.height] = [Math.round(width * ratio), HEIGHT * ratio];
  const ctx = canvas.getContext("2d");
  if (ctx === null) return;
  ctx.scale(ratio, ratio);
  drawAxes(ctx, width, axis, metricAxis);
  drawMeans(ctx, points);
  const ordered = [...points].sort((a, b) => Number(selection.set.has(a.row.experiment_id)) - Number(selection.set.has(b.row.experiment_id)));
  for (const { row, x, y } of ordered) {
    ctx.fillStyle = colour(row);
    ctx.globalAlpha = 0.85;
    ctx.beginPath();
    ctx.arc(x, y, selection.set.has(row.experiment_id) ? 4.5 : 3, 0, 2 * Math.PI);
    ctx.fill();
  }
}

function drawAxes(ctx: CanvasRenderingContext2D, width: number, axis: Axis, metricAxis: Axis): void {
  ctx.font = "11px system-ui, sans-serif";
  ctx.fillStyle = themeColour("--dim");
  ctx.strokeStyle = themeColour("--sunk");
  ctx.textAlign = "right";
  for (const tick of metricAxis.ticks) {
    const y = TOP + (1 - tick.at) * (HEIGHT - TOP - BOTTOM);
    ctx.fillText(tick.label.slice(0, 8), LEFT - 6, y + 4);
    ctx.beginPath();
    ctx.moveTo(LEFT, y);
    ctx.lineTo(width - RIGHT, y);
    ctx.stroke();
  }
  ctx.textAlign = "center";
  let end = -Infinity;
  for (const tick of axis.ticks) {
    const words = tick.label.slice(0, 12);
    const half = ctx.measureText(words).width / 2;
    const x = Math.min(LEFT + tick.at * (width - LEFT - RIGHT), width - half);
    if (x - half < end + 8) continue;
    ctx.fillText(words, x, HEIGHT - 6);
    end = x + half;
  }
}

function drawMeans(ctx: CanvasRenderingContext2D, points: readonly Point[]): void {
  const byX = new Map<number, number[]>();
  for (const { x, y } of points) byX.set(x, [...(byX.get(x) ?? []), y]);
  // Where nearly every experiment has a value of its own, a line through all of them says nothing.
  if (byX.size < 2 || byX.size > points.length / (byX.size > FEW_VALUES ? 4 : 1.5)) return;
  ctx.strokeStyle = themeColour("--line-strong");
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  for (const x of [...byX.keys()].sort((a, b) => a - b)) ctx.lineTo(x, spreadOf(byX.get(x) ?? [])?.mean ?? 0);
  ctx.stroke();
}
