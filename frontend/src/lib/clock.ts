// The time that durations are counted to: now for what is live, the latest event for what is past.
import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
let seconds = Math.floor(Date.now() / 1000);
let timer: ReturnType<typeof setInterval> | null = null;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    seconds = Math.floor(Date.now() / 1000);
    for (const one of [...listeners]) one();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0 && timer !== null) {
      clearInterval(timer);
      timer = null;
    }
  };
}

/** Gives the time in whole s, newly every second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => seconds);
}
