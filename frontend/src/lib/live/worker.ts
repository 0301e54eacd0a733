// The one socket of the board, off the main thread: events become deltas here, and however fast they come, the page gets
// one at a time and the next only when that one is drawn.
import { io, type Socket } from "socket.io-client";
import type { EventBatch, NumberedEvent } from "@/types/events";
import { DeltaFold } from "./fold";
import type { ConnectionState, ToPage, ToWorker } from "./messages";

const scope = self as unknown as DedicatedWorkerGlobalScope;
const FLUSH_MS = 16;
const STATISTICS_MS = 1000;
const MAX_RETRY_S = 10;

let socket: Socket | null = null;
let fold: DeltaFold | null = null;
let isDrawing = false;
let timer: ReturnType<typeof setTimeout> | null = null;
const counted = { messages: 0, events: 0, lastEvents: 0, reconnects: 0 };
let roundTripMs: number | null = null;
let retryTimer: ReturnType<typeof setTimeout> | null = null;
let attempts = 0;

const tell = (message: ToPage): void => scope.postMessage(message);

function tellState(state: ConnectionState, reason: string | null = null, retryAt: number | null = null): void {
  tell({ type: "connection", state, since: Date.now(), reason, retryAt });
}

function flush(): void {
  timer = null;
  if (isDrawing || fold === null) return;
  const delta = fold.take();
  if (delta === null) return;
  isDrawing = true;
  tell({ type: "delta", delta });
}

function flushSoon(): void {
  if (timer === null && !isDrawing) timer = setTimeout(flush, FLUSH_MS);
}

function take(message: EventBatch | NumberedEvent): void {
  counted.messages += 1;
  const events = message.event_id === "batched_events" ? message.data : [message];
  counted.events += events.length;
  for (const event of events) fold?.add(event);
  flushSoon();
}

function join(): void {
  if (socket === null || fold === null) return;
  attempts = 0;
  // After a break the rest is asked for by number, so that nothing is missing and nothing comes twice.
  socket.emit("join", { rooms: [fold.run], client_id: "mlboard", protocol: 2, from_event_id: { [fold.run]: fold.numEvents } });
  tellState("live");
}

function retryLater(reason: string): void {
  if (socket === null) return;
  const seconds = Math.min(MAX_RETRY_S, 2 ** Math.min(attempts, 5));
  attempts += 1;
  tellState("lost", reason, Date.now() + seconds * 1000);
  if (retryTimer !== null) clearTimeout(retryTimer);
  retryTimer = setTimeout(() => socket?.connect(), seconds * 1000);
}

function watch({ url, token, run, from }: Extract<ToWorker, { type: "watch" }>): void {
  unwatch();
  const address = new URL(url);
  fold = new DeltaFold(run, from);
  socket = io(address.origin, {
    path: `${address.pathname.replace(/\/+$/, "")}/socket.io`,
    transports: ["websocket"],
    // Waiting times are ours, so that the page can say when the next try is.
    reconnection: false,
    forceNew: true,
    ...(token === null ? {} : { auth: { token } }),
  });
  tellState("connecting");
  socket.on("connect", join);
  socket.on("mlgym_event", take);
  socket.on("disconnect", (reason) => {
    counted.reconnects += 1;
    retryLater(reason);
  });
  socket.on("connect_error", (reason) => retryLater(reason.message));
}

function unwatch(): void {
  if (retryTimer !== null) clearTimeout(retryTimer);
  socket?.removeAllListeners();
  socket?.disconnect();
  [socket, fold, isDrawing, attempts] = [null, null, false, 0];
  if (timer !== null) clearTimeout(timer);
  timer = null;
}

function measure(): void {
  const eventsPerS = ((counted.events - counted.lastEvents) * 1000) / STATISTICS_MS;
  counted.lastEvents = counted.events;
  if (socket?.connected === true) {
    const sent = performance.now();
    socket.once("pong", () => (roundTripMs = performance.now() - sent));
    socket.emit("ping");
  }
  const { messages, events, reconnects } = counted;
  tell({ type: "statistics", statistics: { roundTripMs, messages, events, eventsPerS, reconnects } });
}

setInterval(measure, STATISTICS_MS);

scope.onmessage = ({ data: message }: MessageEvent<ToWorker>): void => {
  switch (message.type) {
    case "watch":
      watch(message);
      return;
    case "unwatch":
      unwatch();
      tellState("off");
      return;
    case "drawn":
      isDrawing = false;
      flush();
      return;
    case "retry":
      if (socket?.connected === false) {
        if (retryTimer !== null) clearTimeout(retryTimer);
        tellState("connecting");
        socket.connect();
      }
  }
};
