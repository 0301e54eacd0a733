// The chart of one metric on one split, made when it comes into sight.
import { IconPin, IconPinFilled } from "@tabler/icons-react";
import { useIntersection } from "@mantine/hooks";
import { memo, useCallback, useMemo, useRef, useState, type ReactNode } from "react";
import { IconButton } from "@/components/Button";
import { Chart } from "@/components/chart/Chart";
import { themeColour } from "@/lib/colours";
import { token } from "@/lib/endpoints";
import { formatNumber } from "@/lib/format";
import { routeAddress, runRoute } from "@/lib/hub/client";
import { useAt } from "@/lib/hub/queries";
import { joinNames } from "@/lib/lists";
import type { PanelAsk, PanelPicture, PanelSource } from "@/lib/panel/picture";
import type { Span } from "@/lib/panel/ranges";
import { usePanel } from "@/lib/panel/usePanel";
import { valueOf } from "@/lib/rowValues";
import { useScheme } from "@/lib/scheme";
import { toggleSelected } from "@/lib/selection";
import { changeView } from "@/lib/url";
import type { ExperimentRow } from "@/types/api";
import type { PanelContext } from "../model/context";
import { emptySpec, pointsFor, specOf } from "../model/series";
import type { AnalysisView } from "../model/view";
import classes from "./Analysis.module.css";
import { SaveData, SavePicture } from "./SaveChart";

interface Props {
  readonly metricKey: string;
  readonly context: PanelContext;
}

const HEIGHT = 214;

export const MetricPanel = memo(function MetricPanel({ metricKey, context }: Props): ReactNode {
  const { view } = context;
  const { ref, entry } = useIntersection({ rootMargin: "200px" });
  const canvas = useRef<HTMLCanvasElement | null>(null);
  const onReady = useCallback((one: HTMLCanvasElement | null): void => void (canvas.current = one), []);
  const [wasSeen, setSeen] = useState(false);
  if (!wasSeen && entry?.isIntersecting === true) setSeen(true);
  const isPinned = view.pinned.includes(metricKey);
  const pin = (): void => changeView({ pinned: joinNames(isPinned ? view.pinned.filter((key) => key !== metricKey) : [...view.pinned, metricKey]) }, { replace: true });
  return (
    <article ref={ref} className={classes.panel}>
      <header className={classes.head}>
        <h2 title={metricKey}>{metricKey}</h2>
        <BestOf metricKey={metricKey} context={context} />
        <span className={classes.actions} data-on={isPinned}>
          <IconButton label={`${isPinned ? "Unpin" : "Pin"} ${metricKey}`} isOn={isPinned} onClick={pin}>
            {isPinned ? <IconPinFilled /> : <IconPin />}
          </IconButton>
          <SavePicture metricKey={metricKey} context={context} canvas={canvas} />
          <SaveData metricKey={metricKey} context={context} />
        </span>
      </header>
      {wasSeen ? (
        <Curves run={context.run} metricKey={metricKey} numAll={context.table.rows.length} numShown={context.rows.length} view={view} plan={context.plan} colouring={context.colouring} onReady={onReady} />
      ) : (
        <div className={classes.place} />
      )}
    </article>
  );
});

/** Gives where the curves come from; it stays the same object as long as it is the same place. */
function useSource(run: string, metricKey: string, numAll: number, view: AnalysisView): PanelSource {
  const [at, points] = [useAt(), pointsFor(numAll, view)];
  return useMemo(() => ({ run, at, choice: { keys: [metricKey], experiments: null, points }, url: routeAddress(runRoute(run, "/metrics")), token: token() }), [run, at, metricKey, points]);
}

interface CurvesProps extends Pick<PanelContext, "run" | "view" | "plan" | "colouring"> {
  readonly metricKey: string;
  readonly numAll: number;
  readonly numShown: number;
  readonly onReady: (canvas: HTMLCanvasElement | null) => void;
}

// Rows and table are none of its properties: they change with every event, what is drawn comes from the worker.
const Curves = memo(function Curves({ run, metricKey, numAll, numShown, view, plan, colouring, onReady }: CurvesProps): ReactNode {
  const ask = useMemo((): PanelAsk => ({ ...plan.ask, key: metricKey }), [plan.ask, metricKey]);
  const { picture, problem, reframe } = usePanel(useSource(run, metricKey, numAll, view), ask);
  const scheme = useScheme();
  const spec = useMemo(
    () => (picture === null ? emptySpec(metricKey, plan) : specOf(picture, metricKey, plan, colouring, themeColour("--grey-curve"))),
    // The grey is another one in each scheme.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [picture, metricKey, plan, colouring, scheme],
  );
  if (picture === null && problem !== null) return <div className={classes.place}>{<p role="alert">{problem}</p>}</div>;
  const onZoom = (zoom: Span | null): void => changeView({ zoom: zoom === null ? null : zoom.map((one) => Number(one.toPrecision(7))).join("~") }, { replace: true });
  return (
    <>
      <Chart
        spec={spec}
        label={`${metricKey} over ${plan.ask.x} of ${numShown} experiments`}
        height={HEIGHT}
        zoom={view.zoom}
        onZoom={onZoom}
        onPick={toggleSelected}
        syncKey="analysis"
        onReady={onReady}
        isWaiting={picture === null}
        onFrame={reframe}
      />
      <Notes picture={picture} isTrimmed={view.isTrimmed} />
    </>
  );
});

function Notes({ picture, isTrimmed }: { readonly picture: PanelPicture | null; readonly isTrimmed: boolean }): ReactNode {
  const numPoints = picture?.numPoints ?? 0;
  const notes = [picture?.isCutByLog === true ? "a log axis has no place for zero and less: not shown" : null, isTrimmed ? "height of the middle nine tenths of the values" : null, numPoints === 0 ? null : `of up to ${numPoints.toLocaleString("en")} points, thinned: extremes are kept`];
  const words = notes.filter(Boolean).join("; ");
  return words === "" ? null : <p className={classes.note}>{words}</p>;
}

function BestOf({ metricKey, context }: Props): ReactNode {
  const { rows, table } = context;
  const isLow = table.columns.find(({ key }) => key === metricKey)?.direction === "min";
  const best = useMemo(() => bestOf(rows, metricKey, isLow), [rows, metricKey, isLow]);
  if (best === null) return <span className={classes.best} />;
  return (
    <span className={`${classes.best ?? ""} number`}>
      {isLow ? "lowest" : "highest"} {formatNumber(best.value)} in #{best.row.experiment_id} at epoch {best.row.best[metricKey]?.epoch ?? "?"}
    </span>
  );
}

function bestOf(rows: readonly ExperimentRow[], metricKey: string, isLow: boolean): { readonly value: number; readonly row: ExperimentRow } | null {
  let best: { readonly value: number; readonly row: ExperimentRow } | null = null;
  for (const row of rows) {
    const value = valueOf(row, metricKey);
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    if (best === null || (isLow ? value < best.value : value > best.value)) best = { value, row };
  }
  return best;
}
