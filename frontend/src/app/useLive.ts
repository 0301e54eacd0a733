// Follows the run that is shown: its state by REST once, what comes after it over the socket.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { runQuery, tableQuery } from "@/lib/hub/queries";
import { unwatch, watch } from "@/lib/live/client";

export function useLive(run: string | null): void {
  const client = useQueryClient();
  const table = useQuery({ ...tableQuery(run ?? "", null), enabled: run !== null });
  const detail = useQuery({ ...runQuery(run ?? "", null), enabled: run !== null });
  const isReady = run !== null && table.data !== undefined && detail.data !== undefined && !table.isPlaceholderData && !detail.isPlaceholderData;
  useEffect(() => {
    if (run === null || !isReady) return;
    const cancel = whenIdle(() => {
      const [of, at] = [client.getQueryData(tableQuery(run, null).queryKey), client.getQueryData(runQuery(run, null).queryKey)];
      watch(client, run, Math.min(of?.at ?? 0, at?.at ?? 0));
    });
    return () => {
      cancel();
      unwatch();
    };
  }, [client, run, isReady]);
}

const IDLE_MS = 500;

/** Calls a function when the page has drawn what is there already; gives what calls it off. */
function whenIdle(action: () => void): () => void {
  // Safari has no `requestIdleCallback`.
  if (typeof window.requestIdleCallback !== "function") {
    const timer = setTimeout(action, 100);
    return () => clearTimeout(timer);
  }
  const number = window.requestIdleCallback(action, { timeout: IDLE_MS });
  return () => window.cancelIdleCallback(number);
}
