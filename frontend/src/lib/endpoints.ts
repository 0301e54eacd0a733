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

export function settleEndpoints(endpoints: Endpoints): void {
  current = endpoints;
}

export function restAddress(): string {
  return current?.rest ?? ownAddress();
}

export function socketAddress(): string {
  return current?.socket ?? ownAddress();
}

/** Gives what the address of the page asks for; the hub that the page came from where it says nothing. */
export function askedEndpoints(parameters: URLSearchParams): Endpoints {
  const rest = tidyAddress(parameters.get("rest_endpoint")) ?? ownAddress();
  return { rest, socket: tidyAddress(parameters.get("ws_endpoint")) ?? rest };
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

const originOf = (address: string): string => new URL(address).origin;

/**
 * Gives the other origins that whoever started the board allows the page to talk to: those in its content security
 * policy. Null where there is no policy; then only the user can allow one.
 */
export async function allowedOrigins(asked: Endpoints): Promise<string[] | null> {
  // A board that is at home everywhere need not ask, and is drawn the sooner.
  if ([asked.rest, asked.socket].every((address) => originOf(address) === window.location.origin)) return [];
  const answer = await fetch(`${ownAddress()}/`, { method: "HEAD" }).catch(() => null);
  return originsOfPolicy(answer?.headers.get("Content-Security-Policy") ?? null);
}

export function originsOfPolicy(policy: string | null): string[] | null {
  const connect = policy?.split(";").find((one) => /^\s*connect-src\s/.test(one));
  if (connect === undefined) return null;
  return connect.trim().split(/\s+/).slice(1).flatMap((source) => {
    const address = source.startsWith("'") ? null : tidyAddress(source);
    return address === null ? [] : [originOf(address)];
  }); // prettier-ignore
}

export type Verdict = { readonly kind: "go" } | { readonly kind: "ask" | "refused"; readonly addresses: readonly string[] };

/** Tells whether the services may be asked, need the user's word, or are blocked by the policy anyway. */
export function whoMayAsk(asked: Endpoints, allowed: readonly string[] | null): Verdict {
  const known = new Set([window.location.origin, ...(allowed ?? confirmedEndpoints().map(originOf))]);
  const addresses = [...new Set([asked.rest, asked.socket])].filter((address) => !known.has(originOf(address)));
  if (addresses.length === 0) return { kind: "go" };
  return { kind: allowed === null ? "ask" : "refused", addresses };
}

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
