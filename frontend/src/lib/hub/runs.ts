// The list of runs: of the storage, so there is no room on the socket for it; asked for again while somebody looks.
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import type { RunList, RunListQuery } from "@/types/api";
import { getJson, type Query } from "./client";

const AGAIN_MS = 5000;

export const runsQuery = (query: RunListQuery) =>
  queryOptions({
    queryKey: ["runs", query] as const,
    queryFn: ({ signal }) => getJson<RunList>("/api/v1/runs", query as Query, signal),
    refetchInterval: AGAIN_MS,
    placeholderData: keepPreviousData,
  });
