// The socket of a run, in the worker: it joins a run's room and comes back after a break.
import type { Socket } from "socket.io-client";
import type { EventBatch, NumberedEvent } from "@/types/events";
import type { ConnectionState, Statistics, ToWorker } from "./messages";
import { socketTo } from "./socket";

const STATISTICS_MS = 1000;
const MAX_RETRY_S = 10;

/** Whoever wants to know what the socket does. */
export interface LinkListener {
  readonly onEvents: (events: readonly NumberedEvent[]) => void;
  readonly onState: (state: ConnectionState, reason: string | null, retryAt: number | null) => void;
  readonly onStatistics: (statistics: Statistics) => void;
  /** Gives from which event on the rest is wanted, so that after a break nothing is missing and nothing comes twice. */
  readonly next: () => number;
}

export class Link {
  private socket: Socket | null = null;
  private run = "";
  private retryTimer: ReturnType<typeof setTimeout> | null = null;
  private attempts = 0;
  private roundTripMs: number | null = null;
  private readonly counted = { messages: 0, events: 0, lastEvents: 0, reconnects: 0 };

  constructor(private readonly listener: LinkListener) {
    setInterval(() => this.measure(), STATISTICS_MS);
  }

  async open({ url, token, run }: Extract<ToWorker, { type: "watch" }>): Promise<void> {
    this.close();
    this.run = run;
    this.listener.onState("connecting", null, null);
    const socket = await socketTo(url, token);
    // Another run may have been opened meanwhile.
    if (this.run !== run || this.socket !== null) return;
    this.socket = socket;
    socket.on("connect", () => this.join(socket));
    socket.on("mlgym_event", (message: EventBatch | NumberedEvent) => this.take(message));
    socket.on("disconnect", (reason) => {
      this.counted.reconnects += 1;
      this.retryLater(reason);
    });
    socket.on("connect_error", (reason) => this.retryLater(reason.message));
    socket.connect();
  }

  close(): void {
    if (this.retryTimer !== null) clearTimeout(this.retryTimer);
    this.socket?.removeAllListeners();
    this.socket?.disconnect();
    [this.socket, this.run, this.attempts] = [null, "", 0];
  }

  retry(): void {
    if (this.socket?.connected !== false) return;
    if (this.retryTimer !== null) clearTimeout(this.retryTimer);
    this.listener.onState("connecting", null, null);
    this.socket.connect();
  }

  private join(socket: Socket): void {
    this.attempts = 0;
    socket.emit("join", { rooms: [this.run], client_id: "mlboard", protocol: 2, from_event_id: { [this.run]: this.listener.next() } });
    this.listener.onState("live", null, null);
  }

  private take(message: EventBatch | NumberedEvent): void {
    const events = message.event_id === "batched_events" ? message.data : [message];
    this.counted.messages += 1;
    this.counted.events += events.length;
    this.listener.onEvents(events);
  }

  private retryLater(reason: string): void {
    if (this.socket === null) return;
    const seconds = Math.min(MAX_RETRY_S, 2 ** Math.min(this.attempts, 5));
    this.attempts += 1;
    this.listener.onState("lost", reason, Date.now() + seconds * 1000);
    if (this.retryTimer !== null) clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => this.socket?.connect(), seconds * 1000);
  }

  private measure(): void {
    const { counted, socket } = this;
    const eventsPerS = ((counted.events - counted.lastEvents) * 1000) / STATISTICS_MS;
    counted.lastEvents = counted.events;
    if (socket?.connected === true) {
      const sent = performance.now();
      socket.once("pong", () => (this.roundTripMs = performance.now() - sent));
      socket.emit("ping");
    }
    const { messages, events, reconnects } = counted;
    this.listener.onStatistics({ roundTripMs: this.roundTripMs, messages, events, eventsPerS, reconnects });
  }
}
