// Curves as the hub sends them: JSON, until its binary form is read here.
import { Curve, curveOf, type CurveSet, type MutableCurves } from "../curves";
import type { components } from "@/types/openapi";

export function readCurves(buffer: ArrayBuffer): CurveSet {
  const answer = JSON.parse(new TextDecoder().decode(buffer)) as components["schemas"]["MetricColumns"];
  const byKey: MutableCurves = new Map();
  for (const series of answer.series) {
    const curve = curveOf(byKey, series.key, series.experiment_id);
    series.values.forEach((value, i) => curve.add(series.epochs[i] ?? 0, series.steps[i] ?? -1, series.times[i] ?? 0, value ?? NaN));
  }
  void Curve;
  return { at: answer.at, version: 0, byKey };
}
