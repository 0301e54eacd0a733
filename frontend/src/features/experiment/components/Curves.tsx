// All curves of one experiment, the splits of a metric together.
import { useMemo, useState, type ReactNode } from "react";
import { Chart } from "@/components/chart/Chart";
import type { ChartSpec, Line, Span } from "@/components/chart/spec";
import { selectionColour } from "@/lib/colours";
import type { CurveSet } from "@/lib/curves";
import { useCurves } from "@/lib/hub/queries";
import { columnsOf } from "@/lib/rowValues";
import { useScheme } from "@/lib/scheme";
import type { PartProps } from "../model/part";
import classes from "./Experiment.module.css";

const POINTS = 1200;

export function Curves({ run, row, table }: PartProps): ReactNode {
  const keys = useMemo(() => columnsOf(table.columns, "metric"), [table.columns]);
  const choice = useMemo(() => ({ keys, experiments: [row.experiment_id], points: POINTS }), [keys, row.experiment_id]);
  const { data } = useCurves(run, choice);
  const [zoom, setZoom] = useState<Span | null>(null);
  const scheme = useScheme();
  const metrics = useMemo(() => [...new Set(keys.map((key) => key.slice(key.indexOf("/") + 1)))], [keys]);
  const specs = useMemo(
    () => (data === undefined ? [] : metrics.map((metric) => [metric, specOf(data, metric, keys, row.experiment_id, (slot) => selectionColour(slot, scheme))] as const)),
    [data, metrics, keys, row.experiment_id, scheme],
  );
  if (keys.length === 0) return <p className="dim">Nothing was measured yet.</p>;
  return (
    <div className={classes.charts}>
      {specs.map(([metric, spec]) =>
        spec.lines.length === 0 ? null : (
          <section key={metric}>
            <h2>
              {metric}
              {spec.lines.map((line) => (
                <small key={line.id} className={classes.split}>
                  <i data-dashed={line.isDashed} style={{ color: line.colour }} /> {line.label}
                </small>
              ))}
            </h2>
            <Chart spec={spec} label={`${metric} over epochs`} height={210} zoom={zoom} onZoom={setZoom} syncKey="experiment" />
          </section>
        ),
      )}
    </div>
  );
}

const SPLITS = ["train", "val", "test"];
const splitOrder = (split: string): number => (SPLITS.includes(split) ? SPLITS.indexOf(split) : SPLITS.length);

function specOf(set: CurveSet, metric: string, keys: readonly string[], experiment: number, colour: (slot: number) => string): ChartSpec {
  const lines = keys.flatMap((key, slot): Line[] => {
    const curve = key.slice(key.indexOf("/") + 1) === metric ? set.byKey.get(key)?.get(experiment) : undefined;
    if (curve === undefined) return [];
    const split = key.slice(0, key.indexOf("/"));
    const place = SPLITS.indexOf(split);
    return [{ id: slot, x: curve.epochs, y: curve.values, length: curve.length, colour: colour(place < 0 ? slot % 5 + 3 : place), isStrong: true, isDashed: split === "test", label: split }];
  }); // prettier-ignore
  lines.sort((a, b) => splitOrder(a.label) - splitOrder(b.label));
  return { lines, bands: [], isLogX: false, isLogY: false, isDashed: false, isTrimmed: false, xKind: "number" };
}
