// The socket of the list of runs, in the worker: the hub names the runs that changed, for as long as a list is shown.
import type { Socket } from "socket.io-client";
import type { ToWorker } from "./messages";
import { socketTo } from "./socket";

const RETRY_MS = 10_000;

export interface RunsListener {
  /** Whether the hub names what changes from now on; until it does, who shows a list asks by the clock. */
  readonly onTold: (isTold: boolean) => void;
  /** Null where it may be any. */
  readonly onChanged: (runs: readonly string[] | null) => void;
}

export class RunsLink {
  private socket: Socket | null = null;
  private retryTimer: ReturnType<typeof setTimeout> | null = null;
  private turn = 0;

  constructor(private readonly listener: RunsListener) {}

  async open({ url, token }: Extract<ToWorker, { type: "followRuns" }>): Promise<void> {
    this.close();
    const turn = this.turn;
    const socket = await socketTo(url, token);
    // It may have been closed meanwhile.
    if (turn !== this.turn) return;
    this.socket = socket;
    socket.on("connect", () => this.follow(socket));
    socket.on("runs_changed", ({ run_ids: runs }: { readonly run_ids: readonly string[] | null }) => this.listener.onChanged(runs));
    socket.on("disconnect", () => this.retryLater(socket));
    socket.on("connect_error", () => this.retryLater(socket));
    socket.connect();
  }

  close(): void {
    this.turn += 1;
    if (this.retryTimer !== null) clearTimeout(this.retryTimer);
    this.socket?.removeAllListeners();
    this.socket?.disconnect();
    [this.socket, this.retryTimer] = [null, null];
  }

  private follow(socket: Socket): void {
    // An older hub, and one with a token for another run, answers with an error.
    socket.emit("follow_runs", {}, (answer: { readonly follows?: boolean } | null) => {
      if (this.socket === socket) this.listener.onTold(answer?.follows === true);
    });
  }

  private retryLater(socket: Socket): void {
    this.listener.onTold(false);
    if (this.retryTimer !== null) clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => socket.connect(), RETRY_MS);
  }
}
