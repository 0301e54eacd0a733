// A run whose driver died says nothing any more. Where nothing came for a while, the hub is asked whether it still goes on.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { runQuery } from "./hub/queries";
import { onDelta } from "./live/client";

const SILENCE_MS = 5000;
const CHECK_MS = 1000;

export function useVitalSigns(run: string): void {
  const client = useQueryClient();
  const { data } = useQuery(runQuery(run, null));
  const isRunning = data?.status === "running";
  useEffect(() => {
    if (!isRunning) return;
    let heardAt = Date.now();
    const stop = onDelta((delta) => {
      if (delta.run === run) heardAt = Date.now();
    });
    const ask = async (): Promise<void> => {
      const { queryKey } = runQuery(run, null);
      await client.invalidateQueries({ queryKey });
      // The hub counts what ran as interrupted then, in every row.
      if (client.getQueryData(queryKey)?.status !== "running") void client.invalidateQueries({ queryKey: ["table", run, null] });
    };
    const timer = setInterval(() => {
      if (document.hidden || Date.now() - heardAt < SILENCE_MS) return;
      heardAt = Date.now();
      void ask();
    }, CHECK_MS);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [client, run, isRunning]);
}
