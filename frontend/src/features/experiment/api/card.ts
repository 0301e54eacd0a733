// The model card, and the difference to another experiment.
import { queryOptions } from "@tanstack/react-query";
import { getJson, runRoute } from "@/lib/hub/client";
import type { ConfigDiff, ModelCard } from "@/types/api";

export const cardQuery = (run: string, experiment: number, at: number | null) =>
  queryOptions({
    queryKey: ["card", run, experiment, at] as const,
    queryFn: ({ signal }) => getJson<ModelCard>(runRoute(run, `/experiments/${experiment}/model-card`), { at }, signal),
    staleTime: 30_000,
  });

export const diffQuery = (run: string, a: number, b: number, at: number | null) =>
  queryOptions({
    queryKey: ["diff", run, a, b, at] as const,
    queryFn: ({ signal }) => getJson<ConfigDiff>(runRoute(run, "/diff"), { a: String(a), b: String(b), at }, signal),
    staleTime: 60_000,
  });
