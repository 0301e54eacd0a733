// What page and worker say to each other.
import type { PanelAsk, PanelFrame, PanelPicture, PanelSource } from "../panel/picture";
import type { Delta } from "./delta";

export type ConnectionState = "off" | "connecting" | "live" | "lost";

export interface Statistics {
  readonly roundTripMs: number | null;
  readonly messages: number;
  readonly events: number;
  readonly eventsPerS: number;
  readonly reconnects: number;
}

export type ToWorker =
  | { readonly type: "watch"; readonly url: string; readonly token: string | null; readonly run: string; readonly from: number }
  | { readonly type: "unwatch" }
  /** A list of runs is on the page. */
  | { readonly type: "followRuns"; readonly url: string; readonly token: string | null }
  | { readonly type: "leaveRuns" }
  /** The last delta stands on the screen: the next one may come. */
  | { readonly type: "drawn" }
  | { readonly type: "retry" }
  /** A chart of curves is on the page, or shows something else from now on. */
  | { readonly type: "show"; readonly panel: number; readonly source: PanelSource; readonly ask: PanelAsk; readonly frame: PanelFrame }
  | { readonly type: "reframe"; readonly panel: number; readonly frame: PanelFrame }
  | { readonly type: "hide"; readonly panel: number };

export type ToPage =
  | { readonly type: "delta"; readonly delta: Delta }
  | { readonly type: "connection"; readonly state: ConnectionState; readonly since: number; readonly reason: string | null; readonly retryAt: number | null }
  /** Whether the hub names runs that change; null for `runs` where it may be any. */
  | { readonly type: "runsTold"; readonly isTold: boolean }
  | { readonly type: "runsChanged"; readonly runs: readonly string[] | null }
  | { readonly type: "statistics"; readonly statistics: Statistics }
  | { readonly type: "picture"; readonly panel: number; readonly picture: PanelPicture }
  | { readonly type: "failed"; readonly panel: number; readonly message: string };
