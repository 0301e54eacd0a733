// Figures, texts and files that somebody logged, and what of them a browser may show.
import { queryOptions } from "@tanstack/react-query";
import { getBlob, getJson, getText, runRoute } from "@/lib/hub/client";
import type { Listing } from "@/types/api";
import type { LoggedFile } from "../model/files";

const WHILE_RUNNING_MS = 10_000;

/** The whole run's: the hub reads them from its folders. */
export const filesQuery = (run: string, isRunning: boolean) =>
  queryOptions({
    queryKey: ["files", run] as const,
    queryFn: ({ signal }) => getJson<readonly Listing[]>(runRoute(run, "/artifacts"), {}, signal),
    staleTime: 5000,
    refetchInterval: isRunning ? WHILE_RUNNING_MS : false,
  });

export const fileRoute = (run: string, experiment: number, { folder, file }: LoggedFile): string =>
  runRoute(run, `/artifacts/${[experiment, folder, file].map(encodeURIComponent).join("/")}`);

export const textQuery = (route: string, sha256: string) =>
  queryOptions({ queryKey: ["file", route, sha256] as const, queryFn: () => getText(route), staleTime: Infinity });

/** Gives a picture as what a page may show; the hub sends every file as bytes that no browser opens. */
export const pictureQuery = (route: string, sha256: string, type: string) =>
  queryOptions({ queryKey: ["file", route, sha256] as const, queryFn: async () => new Blob([await getBlob(route)], { type }), staleTime: Infinity });
