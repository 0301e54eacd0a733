// What the address says about the charts.
import { useMemo } from "react";
import { splitNames } from "@/lib/lists";
import type { XAxis } from "@/lib/panel/picture";
import { useParameter } from "@/lib/url";

export interface AnalysisView {
  readonly match: string;
  readonly matchProblem: string | null;
  readonly isWanted: (key: string) => boolean;
  readonly x: XAxis;
  readonly smoothing: number;
  readonly isLogX: boolean;
  readonly isLogY: boolean;
  readonly isTrimmed: boolean;
  /** Columns whose combinations are averaged; empty for single curves. */
  readonly average: readonly string[];
  /** A column that gives the colours; empty for the selection, null for what tells most. */
  readonly colourBy: string | null;
  readonly top: number | null;
  readonly pinned: readonly string[];
  readonly zoom: readonly [number, number] | null;
}

const AXES = new Set<string>(["epoch", "step", "since", "time"]);

export function useAnalysisView(): AnalysisView {
  const [match] = useParameter("match");
  const [x] = useParameter("x");
  const [smoothing] = useParameter("smooth");
  const [log] = useParameter("log");
  const [trim] = useParameter("trim");
  const [average] = useParameter("mean");
  const [colour] = useParameter("colour");
  const [top] = useParameter("top");
  const [pinned] = useParameter("pinned");
  const [zoom] = useParameter("zoom");
  return useMemo(() => {
    const [isWanted, matchProblem] = matcherOf(match ?? "");
    const weight = Number(smoothing ?? 0);
    return {
      match: match ?? "",
      matchProblem,
      isWanted,
      x: x !== null && AXES.has(x) ? (x as XAxis) : "epoch",
      smoothing: weight > 0 && weight < 1 ? weight : 0,
      isLogX: log?.includes("x") === true,
      isLogY: log?.includes("y") === true,
      isTrimmed: trim === "1",
      average: splitNames(average),
      colourBy: colour === "selection" ? "" : colour,
      top: top !== null && /^\d+$/.test(top) ? Number(top) : null,
      pinned: splitNames(pinned),
      zoom: zoomOf(zoom),
    };
  }, [match, x, smoothing, log, trim, average, colour, top, pinned, zoom]);
}

function matcherOf(text: string): readonly [(key: string) => boolean, string | null] {
  if (text === "") return [() => true, null];
  try {
    const pattern = new RegExp(text, "iu");
    return [(key) => pattern.test(key), null];
  } catch (error) {
    // The engine's words end with what is wrong: "Invalid regular expression: /(/iu: Unterminated group".
    const reason = error instanceof Error ? error.message.split(": ").at(-1) : undefined;
    return [() => true, `\`${text}\` is no regular expression${reason === undefined ? "" : `: ${reason.toLowerCase()}`}`];
  }
}

function zoomOf(text: string | null): readonly [number, number] | null {
  const parts = (text ?? "").split("~").map(Number);
  const [low = Number.NaN, high = Number.NaN] = parts;
  return parts.length === 2 && low < high ? [low, high] : null;
}
