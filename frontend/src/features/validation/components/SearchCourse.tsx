// A search: what it has cost so far, how many went on at each rung, and how the best score came about.
import { useMemo, useState, type ReactNode } from "react";
import { Chart } from "@/components/chart/Chart";
import type { ChartSpec, Line, Span } from "@/components/chart/spec";
import { selectionColour, type Scheme } from "@/lib/colours";
import { formatCount, formatNumber } from "@/lib/format";
import type { Search } from "@/lib/hub/report";
import { useScheme } from "@/lib/scheme";
import classes from "./Validation.module.css";

export function SearchCourse({ search, metric }: { readonly search: Search; readonly metric: string }): ReactNode {
  const [zoom, setZoom] = useState<Span | null>(null);
  const scheme = useScheme();
  const spec = useMemo(() => specOf(search, scheme), [search, scheme]);
  const { strategy, num_tried: tried, num_trials: planned, epochs_trained: epochs, max_epochs: most } = search;
  const spared = most === null || most * tried <= epochs ? "" : `, of ${formatCount(most * tried)} that these would take in full`;
  return (
    <section>
      <h2>Search</h2>
      <p className={classes.lead}>
        {strategy}: {tried} of at most {planned} configurations tried{search.is_over ? ", and over" : ""}; {formatCount(epochs)} epochs trained{spared}.
      </p>
      {search.rungs.length === 0 ? null : (
        <div className={classes.scroll}>
          <Rungs search={search} />
        </div>
      )}
      {search.course.length < 2 ? null : (
        <>
          <h3>
            {metric} <small className="dim">best so far, and each result as it came</small>
          </h3>
          <Chart spec={spec} label={`best ${metric} over epochs trained in all trials`} height={200} zoom={zoom} onZoom={setZoom} />
        </>
      )}
    </section>
  );
}

function Rungs({ search }: { readonly search: Search }): ReactNode {
  return (
    <table className={classes.table}>
      <thead>
        <tr>
          {["rung", "after epochs", "came to it", "went on", "best score there"].map((head) => (
            <th key={head} scope="col">
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {search.rungs.map((rung) => (
          <tr key={rung.rung}>
            <th scope="row">{rung.rung}</th>
            <td>{rung.epochs}</td>
            <td>{rung.num_trials}</td>
            <td>{rung.num_promoted}</td>
            <td>{formatNumber(rung.best)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The best score as steps, for it holds until a better one comes; single results as short strokes of their own. */
function specOf({ course }: Search, scheme: Scheme): ChartSpec {
  const corners: (readonly [x: number, y: number])[] = [];
  for (const { epochs_trained: at, best } of course) {
    if (best === null) continue;
    const before = corners.at(-1);
    if (before !== undefined) corners.push([at, before[1]]);
    corners.push([at, best]);
  }
  const scored = course.filter(({ score }) => score !== null);
  const line = (id: number, x: readonly number[], y: readonly number[], label: string, isStrong: boolean): Line => ({
    id, x: Float64Array.from(x), y: Float64Array.from(y), length: x.length, colour: selectionColour(isStrong ? 0 : 7, scheme), isStrong, label,
  }); // prettier-ignore
  const results = scored.map(({ epochs_trained: at, score, trial }, i) => line(i + 1, [at], [score ?? 0], `trial ${trial}`, false));
  return { lines: [...results, line(0, corners.map(([x]) => x), corners.map(([, y]) => y), "best so far", true)], bands: [], isLogX: false, isLogY: false, isDashed: false, isTrimmed: false, xKind: "number" };
}
