// What people change about a run: its name, tags and notes; the trash.
import { useMutation, useQueryClient, type UseMutationResult } from "@tanstack/react-query";
import { runRoute, send } from "@/lib/hub/client";

export type Change =
  | { readonly kind: "edit"; readonly run: string; readonly name: string; readonly tags: readonly string[]; readonly notes: string }
  | { readonly kind: "delete" | "restore"; readonly run: string };

export function useChangeRun(): UseMutationResult<void, Error, Change> {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (change: Change) => {
      switch (change.kind) {
        case "edit": {
          const { name, tags, notes } = change;
          return send("PATCH", runRoute(change.run), { name, tags, notes });
        }
        case "delete":
          return send("DELETE", runRoute(change.run));
        case "restore":
          return send("POST", runRoute(change.run, "/restore"));
      }
    },
    onSuccess: (_, change) => {
      void client.invalidateQueries({ queryKey: ["runs"] });
      void client.invalidateQueries({ queryKey: ["run", change.run] });
    },
  });
}
