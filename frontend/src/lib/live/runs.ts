// Lists of runs that are shown: what the hub says has changed is asked for, and put in its place.
import type { Query as CachedQuery, QueryClient } from "@tanstack/react-query";
import type { RunList, RunListQuery } from "@/types/api";
import { socketAddress, token } from "../endpoints";
import { getJson, type Query } from "../hub/client";
import { canMerge, merged } from "../runList";
import { onMessage, post } from "./channel";

type Cached = CachedQuery<RunList, Error, RunList, readonly ["runs", RunListQuery]>;

let isTold = false;
let numLists = 0;
let stop: (() => void) | null = null;

export const areRunsTold = (): boolean => isTold;

/** Follows the runs of the hub until the function that is given back is called by all who follow. */
export function followRuns(client: QueryClient): () => void {
  numLists += 1;
  if (stop === null) {
    stop = listen(client);
    post({ type: "followRuns", url: socketAddress(), token: token() });
  }
  return () => {
    numLists -= 1;
    // Another page may show a list at once.
    setTimeout(() => {
      if (numLists > 0 || stop === null) return;
      stop();
      [stop, isTold] = [null, false];
      post({ type: "leaveRuns" });
    });
  };
}

function listen(client: QueryClient): () => void {
  const changed = new Changed(client);
  return onMessage((message) => {
    if (message.type === "runsChanged") changed.add(message.runs);
    if (message.type !== "runsTold" || isTold === message.isTold) return;
    isTold = message.isTold;
    // What changed before somebody was told; and the clock is set anew.
    void client.invalidateQueries({ queryKey: ["runs"] });
  });
}

/** What was named and not asked for yet; one question at a time, so that no older answer comes after a newer one. */
class Changed {
  private runs = new Set<string>();
  private isAny = false;
  private isAsking = false;

  constructor(private readonly client: QueryClient) {}

  add(runs: readonly string[] | null): void {
    if (runs === null) this.isAny = true;
    else for (const run of runs) this.runs.add(run);
    if (!this.isAsking) void this.ask();
  }

  private async ask(): Promise<void> {
    this.isAsking = true;
    while (this.isAny || this.runs.size > 0) {
      const runs = this.isAny ? null : [...this.runs];
      [this.runs, this.isAny] = [new Set<string>(), false];
      await Promise.all(this.shown().map((query) => this.update(query, runs)));
    }
    this.isAsking = false;
  }

  /** Gives the lists on the page; others, and those of a page that nobody sees, are asked for when somebody does. */
  private shown(): Cached[] {
    const isSeen = document.visibilityState === "visible";
    void this.client.invalidateQueries({ queryKey: ["runs"], refetchType: "none", ...(isSeen ? { type: "inactive" as const } : {}) });
    return isSeen ? (this.client.getQueryCache().findAll({ queryKey: ["runs"], type: "active" }) as unknown as Cached[]) : [];
  }

  private async update({ queryKey, state }: Cached, runs: readonly string[] | null): Promise<void> {
    const [, query] = queryKey;
    const again = (): Promise<void> => this.client.invalidateQueries({ queryKey, exact: true });
    if (runs === null || state.fetchStatus === "fetching" || !canMerge(state.data, query)) {
      await again();
      return;
    }
    try {
      const found = await getJson<RunList>("/api/v1/runs", { ...(query as Query), run: runs });
      // Asked for again meanwhile, it may be newer or older than this.
      if (this.client.getQueryState(queryKey)?.fetchStatus === "fetching") await again();
      else this.client.setQueryData<RunList>(queryKey, (list) => list && merged(list, runs, found, query));
    } catch {
      await again();
    }
  }
}
