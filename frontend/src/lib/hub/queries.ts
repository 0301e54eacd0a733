// The queries that several pages share. A query's key names what it shows; `at` is null for now, else a number of events.
import { keepPreviousData, queryOptions, useQuery, type UseQueryResult } from "@tanstack/react-query";
import type { ExperimentTable, RunDetail, Timeline } from "@/types/api";
import type { CurveSet } from "../curves";
import { useParameter } from "../url";
import { getJson, postForBytes, runRoute } from "./client";
import { readCurves } from "./columns";

const MAX_ROWS = 10_000;
// Nothing is asked for again by a clock: what changes comes over the socket.
const settled = { staleTime: Infinity, refetchOnWindowFocus: false } as const;

export const runQuery = (run: string, at: number | null) =>
  queryOptions({
    ...settled,
    queryKey: ["run", run, at] as const,
    queryFn: ({ signal }) => getJson<RunDetail>(runRoute(run), { at }, signal),
    placeholderData: (before: RunDetail | undefined) => (before?.run_id === run ? before : undefined),
  });

export const tableQuery = (run: string, at: number | null) =>
  queryOptions({
    ...settled,
    queryKey: ["table", run, at] as const,
    queryFn: ({ signal }) => getJson<ExperimentTable>(runRoute(run, "/experiments"), { at, limit: MAX_ROWS }, signal),
    placeholderData: (before: ExperimentTable | undefined, query) => (query?.queryKey[1] === run ? before : undefined),
  });

export const timelineQuery = (run: string) =>
  queryOptions({
    queryKey: ["timeline", run] as const,
    queryFn: ({ signal }) => getJson<Timeline>(runRoute(run, "/timeline"), { points: 1000 }, signal),
    staleTime: 10_000,
    placeholderData: keepPreviousData,
  });

export interface CurveChoice {
  readonly keys: readonly string[];
  /** Null for all experiments. */
  readonly experiments: readonly number[] | null;
  /** At most so many of each curve; the hub keeps first, last, smallest and largest of each piece. */
  readonly points: number;
}

export const curvesQuery = (run: string, choice: CurveChoice, at: number | null) =>
  queryOptions({
    ...settled,
    queryKey: ["curves", run, at, choice] as const,
    queryFn: async ({ signal }): Promise<CurveSet> => {
      const body = { ...choice, method: "minmax", format: "binary", at };
      return readCurves(await postForBytes(runRoute(run, "/metrics"), body, signal));
    },
    enabled: choice.keys.length > 0,
    gcTime: 60_000,
    placeholderData: (before: CurveSet | undefined, query) => (query?.queryKey[1] === run ? before : undefined),
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
