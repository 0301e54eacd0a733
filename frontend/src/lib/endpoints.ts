// Which services the board talks to. Another origin than the board's own is contacted only if whoever started the board
// named it, or the user said so: a link from somebody else must not send this browser anywhere.

export interface Endpoints {
  readonly rest: string;
  readonly socket: string;
}

const CONFIRMED_KEY = "mlboard-confirmed-endpoints";
const TOKEN_KEY = "mlboard-token";

/** Gives the origin and path of a service as it is used here, or null where it is no web address. */
export function tidyAddress(text: string | null, base: string = window.location.href): string | null {
  if (text === null || text.trim() === "") return null;
  try {
    const withScheme = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`;
    const address = new URL(withScheme, base);
    const scheme = { "ws:": "http:", "wss:": "https:" }[address.protocol] ?? address.protocol;
    if (scheme !== "http:" && scheme !== "https:") return null;
    return `${scheme}//${address.host}${address.pathname.replace(/\/+$/, "")}`;
  } catch {
    return null;
  }
}

/** Gives where the page itself was served from: the hub, where nothing else was named. */
export function ownAddress(): string {
  return new URL(".", window.location.href).toString().replace(/[?#].*$/, "").replace(/\/+$/, "");
}

let current: Endpoints | null = null;

export function useEndpointsOnce(endpoints: Endpoints): void {
  current = endpoints;
}

export function restAddress(): string {
  return current?.rest ?? ownAddress();
}

export function socketAddress(): string {
  return current?.socket ?? ownAddress();
}

/** Gives what the address of the page asks for, over what the server of the board says. */
export function askedEndpoints(parameters: URLSearchParams, offered: Partial<Endpoints>): Endpoints {
  return {
    rest: tidyAddress(parameters.get("rest_endpoint")) ?? offered.rest ?? ownAddress(),
    socket: tidyAddress(parameters.get("ws_endpoint")) ?? offered.socket ?? offered.rest ?? ownAddress(),
  };
}

export function confirmedEndpoints(): string[] {
  try {
    const found: unknown = JSON.parse(window.localStorage.getItem(CONFIRMED_KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((one): one is string => typeof one === "string") : [];
  } catch {
    return [];
  }
}

export function setConfirmedEndpoints(addresses: readonly string[]): void {
  window.localStorage.setItem(CONFIRMED_KEY, JSON.stringify([...new Set(addresses)]));
}

/** Gives the addresses that the user has to confirm before they are contacted. */
export function unconfirmed(asked: Endpoints, offered: Partial<Endpoints>): string[] {
  const trusted = new Set([window.location.origin, ...[offered.rest, offered.socket, ...confirmedEndpoints()].map(originOf)]);
  return [...new Set([asked.rest, asked.socket])].filter((address) => !trusted.has(originOf(address)));
}

const originOf = (address: string | undefined): string => (address === undefined ? "" : new URL(address).origin);

/** Takes a token out of the address's fragment, which is sent to no server and stands in no log. */
export function takeToken(): void {
  const given = new URLSearchParams(window.location.hash.slice(1)).get("token");
  if (given === null) return;
  window.sessionStorage.setItem(TOKEN_KEY, given);
  window.history.replaceState(null, "", window.location.pathname + window.location.search);
}

export function token(): string | null {
  return window.sessionStorage.getItem(TOKEN_KEY);
}

export function setToken(value: string): void {
  if (value === "") window.sessionStorage.removeItem(TOKEN_KEY);
  else window.sessionStorage.setItem(TOKEN_KEY, value);
}
