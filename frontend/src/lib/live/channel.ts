// The page's end of the worker, which starts when it is first told something.
import type { ToPage, ToWorker } from "./messages";

type Listener = (message: ToPage) => void;

const listeners = new Set<Listener>();
let worker: Worker | null = null;

export function post(message: ToWorker): void {
  if (worker === null) {
    worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<ToPage>) => {
      for (const listener of [...listeners]) listener(data);
    };
  }
  worker.postMessage(message);
}

/** Calls a function with everything that the worker says, until the function that is given back is called. */
export function onMessage(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
