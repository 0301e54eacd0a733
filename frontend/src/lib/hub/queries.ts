// The queries that several pages share. A query's key names what it shows; `at` is null for now, else a number of events.
import { keepPreviousData, queryOptions, useQuery, type UseQueryResult } from "@tanstack/react-query";
import type { ExperimentTable, RunDetail, Timeline } from "@/types/api";
import { isWanted, withPoints, type CurveChoice, type CurveSet } from "../curves";
import { since } from "../live/recent";
import { tableAfter } from "../live/table";
import { useParameter } from "../url";
import { getJson, postForBytes, runRoute } from "./client";
import { curvesBody, readCurves } from "./columns";

const MAX_ROWS = 10_000;
// Nothing is asked for again by a clock: what changes comes over the socket.
const settled = { staleTime: Infinity, refetchOnWindowFocus: false } as const;

export const runQuery = (run: string, at: number | null) =>
  queryOptions<RunDetail, Error, RunDetail, readonly ["run", string, number | null]>({
    ...settled,
    queryKey: ["run", run, at],
    queryFn: ({ signal }) => getJson<RunDetail>(runRoute(run), { at }, signal),
    placeholderData: (before, query) => (query?.queryKey[1] === run ? before : undefined),
  });

export const tableQuery = (run: string, at: number | null) =>
  queryOptions<ExperimentTable, Error, ExperimentTable, readonly ["table", string, number | null]>({
    ...settled,
    queryKey: ["table", run, at],
    queryFn: async ({ signal }) => {
      const table = await getJson<ExperimentTable>(runRoute(run, "/experiments"), { at, limit: MAX_ROWS }, signal);
      return at === null ? since(run, table.at).reduce(tableAfter, table) : table;
    },
    placeholderData: (before, query) => (query?.queryKey[1] === run ? before : undefined),
  });

export const timelineQuery = (run: string) =>
  queryOptions({
    queryKey: ["timeline", run] as const,
    queryFn: ({ signal }) => getJson<Timeline>(runRoute(run, "/timeline"), { points: 1000 }, signal),
    staleTime: 10_000,
    placeholderData: keepPreviousData,
  });

export const curvesQuery = (run: string, choice: CurveChoice, at: number | null) =>
  queryOptions<CurveSet, Error, CurveSet, readonly ["curves", string, number | null, CurveChoice]>({
    ...settled,
    queryKey: ["curves", run, at, choice],
    queryFn: async ({ signal }) => {
      const set = readCurves(await postForBytes(runRoute(run, "/metrics"), curvesBody(choice, at), signal));
      const missed = at === null ? since(run, set.at).flatMap((delta) => delta.points) : [];
      return withPoints(set, missed, isWanted(choice));
    },
    enabled: choice.keys.length > 0,
    gcTime: 60_000,
    placeholderData: (before, query) => (query?.queryKey[1] === run ? before : undefined),
  });

/** Gives how many events the view takes into account, null for live. */
export function useAt(): number | null {
  const [at] = useParameter("at");
  return at !== null && /^\d{1,15}$/.test(at) ? Number(at) : null;
}

export function useRunId(): string | null {
  return useParameter("run_id")[0];
}

export function useRun(run: string): UseQueryResult<RunDetail> {
  return useQuery(runQuery(run, useAt()));
}

export function useTable(run: string): UseQueryResult<ExperimentTable> {
  return useQuery(tableQuery(run, useAt()));
}

export function useCurves(run: string, choice: CurveChoice): UseQueryResult<CurveSet> {
  return useQuery(curvesQuery(run, choice, useAt()));
}
