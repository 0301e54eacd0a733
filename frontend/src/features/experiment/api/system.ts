// What the process of an experiment used over time; asked for again when the socket says that there is more.
import { queryOptions, useQuery, useQueryClient, type UseQueryResult } from "@tanstack/react-query";
import { useEffect } from "react";
import { getJson, runRoute } from "@/lib/hub/client";
import { useAt } from "@/lib/hub/queries";
import { onDelta } from "@/lib/live/client";
import type { SystemMetrics } from "@/types/api";

const POINTS = 1000;

const systemQuery = (run: string, experiment: number, at: number | null) =>
  queryOptions<SystemMetrics, Error, SystemMetrics, readonly ["system", string, number, number | null]>({
    queryKey: ["system", run, experiment, at],
    queryFn: ({ signal }) => getJson<SystemMetrics>(runRoute(run, `/experiments/${experiment}/system-metrics`), { at, points: POINTS }, signal),
    staleTime: Infinity,
    placeholderData: (before, query) => (query?.queryKey[1] === run && query.queryKey[2] === experiment ? before : undefined),
  });

export function useSystemMetrics(run: string, experiment: number): UseQueryResult<SystemMetrics> {
  const client = useQueryClient();
  const at = useAt();
  useEffect(
    () =>
      onDelta((delta) => {
        const isTold = delta.rows.some((row) => row.experimentId === experiment && row.fields.rss_bytes !== undefined);
        if (delta.run === run && isTold) void client.invalidateQueries({ queryKey: ["system", run, experiment, null] });
      }),
    [client, run, experiment],
  );
  return useQuery(systemQuery(run, experiment, at));
}
