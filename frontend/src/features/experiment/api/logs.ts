// Log lines of an experiment: the last ones by REST, older ones page by page, new ones over the socket.
import { infiniteQueryOptions } from "@tanstack/react-query";
import { getJson, runRoute, type Query } from "@/lib/hub/client";
import type { LogLines } from "@/types/api";

export interface LogChoice {
  readonly experiment: number;
  readonly level: string;
  readonly contains: string;
}

const PAGE = 500;

export const logsQuery = (run: string, choice: LogChoice, at: number | null) =>
  infiniteQueryOptions({
    queryKey: ["logs", run, choice, at] as const,
    queryFn: ({ pageParam, signal }) => {
      const query: Query = { experiment: choice.experiment, level: choice.level, contains: choice.contains, tail: PAGE, before: pageParam, at };
      return getJson<LogLines>(runRoute(run, "/logs"), query, signal);
    },
    initialPageParam: null as number | null,
    // Pages go back in time.
    getNextPageParam: (page) => page.next_before,
    staleTime: Infinity,
    gcTime: 0,
  });
