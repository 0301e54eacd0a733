// The list of runs: of the storage, so there is no room on the socket for it; asked for again while somebody looks.
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import type { RunList, RunListQuery } from "@/types/api";
import { getJson, type Query } from "./client";

const AGAIN_MS = 5000;
const WHILE_READING_MS = 1000;

export const runsQuery = (query: RunListQuery) =>
  queryOptions({
    queryKey: ["runs", query] as const,
    queryFn: ({ signal }) => getJson<RunList>("/api/v1/runs", query as Query, signal),
    refetchInterval: ({ state }) => (state.data?.runs.some(({ reading }) => reading != null) === true ? WHILE_READING_MS : AGAIN_MS),
    placeholderData: keepPreviousData,
  });
