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
    const [of, at] = [client.getQueryData(tableQuery(run, null).queryKey), client.getQueryData(runQuery(run, null).queryKey)];
    watch(client, run, Math.min(of?.at ?? 0, at?.at ?? 0));
    return unwatch;
  }, [client, run, isReady]);
}
