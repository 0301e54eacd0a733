// The columns of curves, in the worker: asked of the hub when a panel wants them, growing with what comes over the
// socket, let go of when nobody has looked at them for a while.
import { isWanted, withPoints, type CurveSet } from "../curves";
import { curvesBody, readCurves } from "../hub/columns";
import { askBytes, HubError } from "../hub/request";
import type { Points } from "../live/delta";
import type { PanelSource } from "./picture";

const MAX_BYTES = 150_000_000;
const MAX_RECENT = 20_000;
const RETRY_MS = [500, 1000, 2000];

interface Held {
  readonly source: PanelSource;
  readonly loading: AbortController;
  set: CurveSet | null;
  numBytes: number;
  usedAt: number;
}

/** Where curves of a source are, told whenever that changes. */
export interface StoreListener {
  readonly onLoaded: (name: string) => void;
  readonly onFailed: (name: string, message: string) => void;
  readonly isShown: (name: string) => boolean;
}

export const nameOf = ({ run, at, choice, url }: PanelSource): string => JSON.stringify([url, run, at, choice]);

export class CurveStore {
  private readonly held = new Map<string, Held>();
  /** What came lately of the run that is followed, for answers that were on their way meanwhile. */
  private recent: { readonly run: string; points: readonly Points[] } = { run: "", points: [] };
  private numUses = 0;
  /** From which event on everything comes over the socket. */
  private begin = 0;

  constructor(private readonly listener: StoreListener) {}

  /** Gives the curves where they are there; else they are asked for, and the listener hears of it. */
  get(source: PanelSource): CurveSet | null {
    const name = nameOf(source);
    let held = this.held.get(name);
    if (held === undefined) {
      held = { source, loading: new AbortController(), set: null, numBytes: 0, usedAt: 0 };
      this.held.set(name, held);
      void this.load(name, held);
    }
    held.usedAt = this.numUses += 1;
    return held.set;
  }

  /** Takes in what was measured since; gives the names of the sets that grew. */
  add(run: string, added: readonly Points[]): string[] {
    this.recent = { run, points: [...this.recentOf(run), ...added].slice(-MAX_RECENT) };
    return [...this.held].flatMap(([name, held]) => {
      const { set, source } = held;
      if (set === null || source.run !== run || source.at !== null) return [];
      held.set = withPoints(set, added, isWanted(source.choice));
      return held.set === set ? [] : [name];
    });
  }

  /** Events of another run have the same numbers, and its experiments the same ids. */
  private recentOf(run: string): readonly Points[] {
    return this.recent.run === run ? this.recent.points : [];
  }

  /** Begins to take in what comes from an event on. Live curves that end before it would have a gap, and are let go. */
  beginAt(event: number): string[] {
    this.begin = event;
    return this.forgetLive(({ set }) => set !== null && set.at < event);
  }

  /** Lets go of live curves, which would miss something or were made void; gives their names. */
  forgetLive(isGone: (held: Held) => boolean = () => true): string[] {
    const names = [...this.held].filter(([, held]) => held.source.at === null && isGone(held)).map(([name]) => name);
    for (const name of names) this.drop(name);
    return names;
  }

  /** Lets go of what nobody looks at: what is on its way at once, what is there when there is too much of it. */
  tidy(): void {
    const idle = [...this.held].filter(([name]) => !this.listener.isShown(name)).sort(([, a], [, b]) => a.usedAt - b.usedAt);
    let total = [...this.held.values()].reduce((sum, { numBytes }) => sum + numBytes, 0);
    for (const [name, { set, numBytes }] of idle) {
      if (set !== null && total <= MAX_BYTES) continue;
      this.drop(name);
      total -= numBytes;
    }
  }

  private drop(name: string): void {
    this.held.get(name)?.loading.abort();
    this.held.delete(name);
  }

  private async load(name: string, held: Held): Promise<void> {
    try {
      let bytes = await this.ask(held);
      let set = readCurves(bytes);
      if (held.source.at === null && set.at < this.begin) set = readCurves((bytes = await this.ask(held)));
      if (this.held.get(name) !== held) return;
      held.numBytes = bytes.byteLength;
      held.set = held.source.at === null ? withPoints(set, this.recentOf(held.source.run), isWanted(held.source.choice)) : set;
      this.listener.onLoaded(name);
    } catch (reason) {
      if (this.held.get(name) !== held) return;
      this.held.delete(name);
      this.listener.onFailed(name, reason instanceof Error ? reason.message : String(reason));
    }
  }

  private async ask({ source, loading }: Held): Promise<ArrayBuffer> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await askBytes(source.url, source.token, curvesBody(source.choice, source.at), loading.signal);
      } catch (reason) {
        const wait = RETRY_MS[attempt];
        // A hub that restarts is back within seconds; what it refuses it refuses again.
        const isRefused = reason instanceof HubError && reason.status !== null && reason.status < 500;
        if (wait === undefined || isRefused || loading.signal.aborted) throw reason;
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }
}
