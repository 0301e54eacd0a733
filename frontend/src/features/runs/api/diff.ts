// In which keys the configs of two experiments, of one run or of two, differ.
import { queryOptions } from "@tanstack/react-query";
import { getJson, runRoute } from "@/lib/hub/client";
import type { ConfigDiff } from "@/types/api";

export const runDiffQuery = (a: { readonly run: string; readonly experiment: number }, b: { readonly run: string; readonly experiment: number }) =>
  queryOptions({
    queryKey: ["diff", a, b] as const,
    queryFn: ({ signal }) =>
      getJson<ConfigDiff>(runRoute(a.run, "/diff"), { a: `${a.run}/${a.experiment}`, b: `${b.run}/${b.experiment}` }, signal),
    staleTime: 60_000,
  });
