// What the process of an experiment used over time: processor, memory, GPU, rate.
import { useMemo, useState, type ReactNode } from "react";
import { Chart } from "@/components/chart/Chart";
import type { Span } from "@/components/chart/spec";
import { Problem, Waiting } from "@/components/Notice";
import { selectionColour } from "@/lib/colours";
import { formatNumber } from "@/lib/format";
import { useScheme } from "@/lib/scheme";
import { useSystemMetrics } from "../api/system";
import { loadCharts } from "../model/loads";
import type { PartProps } from "../model/part";
import classes from "./Experiment.module.css";

export function System({ run, row }: PartProps): ReactNode {
  const { data, error, refetch } = useSystemMetrics(run, row.experiment_id);
  const [zoom, setZoom] = useState<Span | null>(null);
  const scheme = useScheme();
  const charts = useMemo(() => (data === undefined ? [] : loadCharts(data, (slot) => selectionColour(slot, scheme))), [data, scheme]);
  if (data === undefined) return error === null ? <Waiting what="the load" /> : <Problem error={error} what="load" onRetry={() => void refetch()} />;
  if (charts.length === 0) return <p className="dim">Nothing was told: load is measured every second at first, and this experiment was over before, or is of an older version.</p>;
  const thinned = data.series.find(({ num_points: points, times }) => points > times.length);
  return (
    <>
      <p className="dim">
        Of the process that trains, from the first reading on: every 5 s, at first every second.
        {thinned === undefined ? "" : ` Thinned from ${thinned.num_points.toLocaleString("en")} points; peaks stay.`}
      </p>
      <div className={classes.charts}>
        {charts.map(({ title, unit, spec }) => (
          <section key={title}>
            <h2>
              {title} <small className="dim">{unit}</small> <small className="number">{formatNumber(spec.lines.at(-1)?.y.at(-1) ?? null, 3)}</small>
            </h2>
            <Chart spec={spec} label={`${title} in ${unit} over time`} height={180} zoom={zoom} onZoom={setZoom} syncKey="system" />
          </section>
        ))}
      </div>
    </>
  );
}
