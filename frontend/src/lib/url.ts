// The state of the view lives in the address, so that every view can be reloaded, sent to somebody, and gone back from.
// One flat set of parameters beside the older ones (`run_id`, `rest_endpoint`, `ws_endpoint`); no server has to know them.
import { useCallback, useSyncExternalStore } from "react";

export const PAGES = ["runs", "flow", "analysis", "parameters", "validation", "experiment", "settings"] as const;
export type Page = (typeof PAGES)[number];
export type Changes = Readonly<Record<string, string | null>>;

const listeners = new Set<() => void>();

// Browsers leave out, or refuse with an error, what changes the address more often than some times a second, as whoever plays
// with a slider does. So the state is what it is about to be, and the address follows.
const WRITE_MS = 350;
let pending: string | null = null;
let writtenAt = -Infinity;
let timer: ReturnType<typeof setTimeout> | undefined;
let isListening = false;

function write(): void {
  clearTimeout(timer);
  timer = undefined;
  if (pending === null) return;
  window.history.replaceState(null, "", pending);
  [pending, writtenAt] = [null, performance.now()];
}

function writeSoon(): void {
  const wait = WRITE_MS - (performance.now() - writtenAt);
  if (wait <= 0) write();
  else timer ??= setTimeout(write, wait);
}

/** What somebody goes back to is not what was about to be written. */
function forget(): void {
  clearTimeout(timer);
  [pending, timer] = [null, undefined];
}

function subscribe(listener: () => void): () => void {
  if (!isListening) {
    isListening = true;
    window.addEventListener("popstate", forget);
    window.addEventListener("pagehide", write);
  }
  listeners.add(listener);
  window.addEventListener("popstate", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("popstate", listener);
  };
}

/** Gives the parameters as they are or are about to be; empty or with a question mark. */
const search = (): string => (pending === null ? window.location.search : pending.startsWith("?") ? pending : "");

/** Gives the address with parameters set, or removed where they are null. */
export function addressWith(changes: Changes, current: string = search()): string {
  const parameters = new URLSearchParams(current);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") parameters.delete(name);
    else parameters.set(name, value);
  }
  // Colons, commas and slashes need no escape within a query, and the address is read by people.
  const text = parameters.toString().replace(/%2C/g, ",").replace(/%3A/g, ":").replace(/%2F/g, "/");
  return text === "" ? window.location.pathname : `?${text}`;
}

/** Changes parameters. What is typed or dragged replaces the entry in the history, what is clicked adds one. */
export function changeView(changes: Changes, { replace = false }: { readonly replace?: boolean } = {}): void {
  const address = addressWith(changes);
  if (address === search()) return;
  if (replace) {
    pending = address;
    writeSoon();
  } else {
    write();
    window.history.pushState(null, "", address);
  }
  for (const listener of [...listeners]) listener();
}

/** Gives one parameter of the address, and how to change it. */
export function useParameter(name: string): readonly [string | null, (value: string | null) => void] {
  const value = useSyncExternalStore(subscribe, () => new URLSearchParams(search()).get(name));
  const change = useCallback((next: string | null) => changeView({ [name]: next }, { replace: true }), [name]);
  return [value, change];
}

export function currentParameter(name: string): string | null {
  return new URLSearchParams(search()).get(name);
}

const pageOf = (page: string | null, run: string | null): Page => PAGES.find((one) => one === page) ?? (run === null ? "runs" : "flow");

export function usePage(): Page {
  return pageOf(useParameter("page")[0], useParameter("run_id")[0]);
}

export function currentPage(): Page {
  return pageOf(currentParameter("page"), currentParameter("run_id"));
}

/** Gives the parameters with which another page of the same run is opened: what belongs to one page stays behind. */
export function toPage(page: Page, more: Changes = {}): Changes {
  return { page, experiment: null, ...more };
}

/** Gives the parameters with which another run is opened: nothing of the run before holds for it. */
export function toRun(runId: string, page: Page = "flow"): Changes {
  const kept = new Set(["rest_endpoint", "ws_endpoint"]);
  const gone = [...new URLSearchParams(search()).keys()].filter((name) => !kept.has(name));
  return { ...Object.fromEntries(gone.map((name) => [name, null])), run_id: runId, page };
}
