// A connection to the websocket service, in the worker; who opened it says what happens on it, and comes back by itself.
import type { Socket } from "socket.io-client";

export async function socketTo(url: string, token: string | null): Promise<Socket> {
  // Loaded when it is first needed: curves come before it.
  const { io } = await import("socket.io-client");
  const address = new URL(url);
  return io(address.origin, {
    path: `${address.pathname.replace(/\/+$/, "")}/socket.io`,
    transports: ["websocket"],
    // Waiting times are ours, so that the page can say when the next try is.
    reconnection: false,
    forceNew: true,
    autoConnect: false,
    ...(token === null ? {} : { auth: { token } }),
  });
}
