// One experiment, with what the table leaves out.
import { queryOptions } from "@tanstack/react-query";
import type { ExperimentDetail } from "@/types/api";
import { getJson, runRoute } from "./client";

export const experimentQuery = (run: string, experiment: number, at: number | null) =>
  queryOptions<ExperimentDetail, Error, ExperimentDetail, readonly ["experiment", string, number, number | null]>({
    queryKey: ["experiment", run, experiment, at],
    queryFn: ({ signal }) => getJson<ExperimentDetail>(runRoute(run, `/experiments/${experiment}`), { at }, signal),
    staleTime: Infinity,
    placeholderData: (before, query) => (query?.queryKey[1] === run && query.queryKey[2] === experiment ? before : undefined),
  });
