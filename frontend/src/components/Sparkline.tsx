// The shape of a curve within a table row; axes are left to the real charts.
import type { ReactNode } from "react";
import type { Curve } from "@/lib/curves";
import classes from "./Sparkline.module.css";

const [WIDTH, HEIGHT, PAD] = [84, 20, 2];

interface Props {
  readonly curve: Curve | undefined;
  readonly colour: string;
  readonly label: string;
}

export function Sparkline({ curve, colour, label }: Props): ReactNode {
  const path = curve === undefined ? "" : pathOf(curve);
  if (path === "") return null;
  return (
    <svg className={classes.spark} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} role="img" aria-label={label}>
      <path d={path} fill="none" stroke={colour} strokeWidth="1.25" strokeLinejoin="round" />
    </svg>
  );
}

function pathOf(curve: Curve): string {
  const values = curve.values.subarray(0, curve.length);
  const finite = values.filter(Number.isFinite);
  if (finite.length < 2) return "";
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const [first, last] = [curve.epochs[0] ?? 0, curve.epochs[curve.length - 1] ?? 1];
  const x = (epoch: number): number => PAD + ((epoch - first) / (last - first || 1)) * (WIDTH - 2 * PAD);
  const y = (value: number): number => HEIGHT - PAD - ((value - low) / (high - low || 1)) * (HEIGHT - 2 * PAD);
  let [path, isDown] = ["", false];
  values.forEach((value, i) => {
    // A value that is not finite is a gap, not a line across it.
    if (Number.isFinite(value)) path += `${isDown ? "L" : "M"}${x(curve.epochs[i] ?? 0).toFixed(1)} ${y(value).toFixed(1)}`;
    isDown = Number.isFinite(value);
  });
  return path;
}
