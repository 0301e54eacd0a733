// What may be said about the results: the same report that `mlgym report` gives.
import { queryOptions } from "@tanstack/react-query";
import type { components } from "@/types/report";
import { getJson, runRoute } from "./client";

type Schemas = components["schemas"];
export type Report = Schemas["ReportFacts"];
export type Configuration = Schemas["ConfigurationFacts"];
export type Nested = Schemas["NestedFacts"];
export type OuterFold = Schemas["OuterFoldFacts"];
export type Importances = Schemas["ImportancesFacts"];
export type Search = Schemas["SearchFacts"];
export type Interval = Schemas["IntervalFacts"];

const WHILE_RUNNING_MS = 10_000;

/** `metric` null is the one that the run itself selects by. */
export const reportQuery = (run: string, at: number | null, isRunning: boolean, metric: string | null = null) =>
  queryOptions<Report, Error, Report, readonly ["report", string, number | null, string | null]>({
    queryKey: ["report", run, at, metric],
    queryFn: ({ signal }) => getJson<Report>(runRoute(run, "/report"), { format: "json", at, metric }, signal),
    staleTime: Infinity,
    // A report rests on every experiment at once, so there is no delta of it.
    refetchInterval: isRunning && at === null ? WHILE_RUNNING_MS : false,
    placeholderData: (before, query) => (query?.queryKey[1] === run && query.queryKey[3] === metric ? before : undefined),
  });
