// Log lines of an experiment: the last ones by REST, older ones page by page, new ones over the socket.
import { infiniteQueryOptions } from "@tanstack/react-query";
import { getJson, runRoute, type Query } from "@/lib/hub/client";
import type { LogEntry, LogLines } from "@/types/api";

export interface LogChoice {
  readonly experiment: number;
  readonly level: string;
  readonly contains: string;
}

const PAGE = 1000;
/** What the hub gives at once at most. */
const LARGEST_PAGE = 10_000;

const queryOf = ({ experiment, level, contains }: LogChoice, at: number | null, tail: number, before: number | null): Query => ({ experiment, level, contains, tail, before, at });

export const logsQuery = (run: string, choice: LogChoice, at: number | null) =>
  infiniteQueryOptions({
    queryKey: ["logs", run, choice, at] as const,
    queryFn: ({ pageParam, signal }) => getJson<LogLines>(runRoute(run, "/logs"), queryOf(choice, at, PAGE, pageParam), signal),
    initialPageParam: null as number | null,
    // Pages go back in time.
    getNextPageParam: (page) => page.next_before,
    staleTime: Infinity,
    gcTime: 0,
  });

/** Gives every line of a choice, the ones that nobody scrolled to among them. */
export async function allLines(run: string, choice: LogChoice, at: number | null): Promise<readonly LogEntry[]> {
  const pages: (readonly LogEntry[])[] = [];
  for (let before: number | null | undefined = null; before !== undefined; ) {
    const page: LogLines = await getJson<LogLines>(runRoute(run, "/logs"), queryOf(choice, at, LARGEST_PAGE, before));
    pages.unshift(page.lines);
    before = page.next_before ?? undefined;
  }
  return pages.flat();
}
