// The list of runs: the hub names what changed, and only that is asked for. Where it cannot, the list is asked for again
// by the clock while somebody looks; a run that dies without a word is found so, too.
import { keepPreviousData, queryOptions, useQuery, useQueryClient, type UseQueryResult } from "@tanstack/react-query";
import { useEffect } from "react";
import type { RunList, RunListQuery } from "@/types/api";
import { areRunsTold, followRuns } from "../live/runs";
import { getJson } from "./client";

const AGAIN_MS = 5000;
const WHILE_READING_MS = 1000;
const WHILE_TOLD_MS = 60_000;

export const runsQuery = (query: RunListQuery) =>
  queryOptions<RunList, Error, RunList, readonly ["runs", RunListQuery]>({
    queryKey: ["runs", query] as const,
    queryFn: ({ signal }) => getJson<RunList>("/api/v1/runs", query, signal),
    refetchInterval: ({ state }) => {
      if (state.data?.runs.some(({ reading }) => reading != null) === true) return WHILE_READING_MS;
      return areRunsTold() ? WHILE_TOLD_MS : AGAIN_MS;
    },
    placeholderData: keepPreviousData,
  });

/** Gives a list of runs, and keeps it up to date. */
export function useRuns(query: RunListQuery): UseQueryResult<RunList> {
  const client = useQueryClient();
  useEffect(() => followRuns(client), [client]);
  return useQuery(runsQuery(query));
}
