// What is live: one delta per animation frame goes into the query cache, then the next one may come.
import type { QueryClient } from "@tanstack/react-query";
import { create } from "zustand";
import { socketAddress, token } from "../endpoints";
import { applyDelta } from "./apply";
import { onMessage, post } from "./channel";
import type { Delta } from "./delta";
import { remember } from "./recent";
import type { ConnectionState, Statistics } from "./messages";

interface Connection {
  readonly state: ConnectionState;
  readonly since: number;
  readonly reason: string | null;
  readonly retryAt: number | null;
  readonly statistics: Statistics | null;
}

export const useConnection = create<Connection>(() => ({
  state: "off",
  since: Date.now(),
  reason: null,
  retryAt: null,
  statistics: null,
}));

type LogListener = (delta: Delta) => void;
const logListeners = new Set<LogListener>();

/** Calls a function with everything that comes, until the function that is given back is called. */
export function onDelta(listener: LogListener): () => void {
  logListeners.add(listener);
  return () => logListeners.delete(listener);
}

let watched: string | null = null;
let isListening = false;
const HIDDEN_MS = 1000;

function listen(client: QueryClient): void {
  if (isListening) return;
  isListening = true;
  onMessage((message) => {
    if (message.type === "delta") onNextFrame(() => draw(client, message.delta));
    else if (message.type === "statistics") useConnection.setState({ statistics: message.statistics });
    else if (message.type === "connection") {
      const { state, since, reason, retryAt } = message;
      useConnection.setState({ state, since, reason, retryAt });
    }
  });
}

/** Frames stop in a hidden tab, and what comes meanwhile must not pile up. */
function onNextFrame(action: () => void): void {
  if (document.hidden) setTimeout(action, HIDDEN_MS);
  else requestAnimationFrame(action);
}

function draw(client: QueryClient, delta: Delta): void {
  if (delta.run === watched) {
    remember(delta);
    applyDelta(client, delta);
    for (const listener of logListeners) listener(delta);
  }
  post({ type: "drawn" });
}

/** Follows a run from an event on; the one before is left. */
export function watch(client: QueryClient, run: string, from: number): void {
  watched = run;
  listen(client);
  post({ type: "watch", url: socketAddress(), token: token(), run, from });
}

export function unwatch(): void {
  if (watched === null) return;
  watched = null;
  post({ type: "unwatch" });
}

export function retryNow(): void {
  post({ type: "retry" });
}
