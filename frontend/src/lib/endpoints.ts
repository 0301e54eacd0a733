// Which services the board talks to. Another origin than the board's own is contacted only if whoever started the board
// named it, or the user said so: a link from somebody else must not send this browser anywhere.

export interface Endpoints {
  readonly rest: string;
  readonly socket: string;
}

const CHOICES_KEY = "mlboard-origins";
const COOKIE = "mlboard_origins";
const A_YEAR_S = 31_536_000;
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

export type OriginChoice = "allowed" | "denied";

/** Gives what the user said about other origins, by origin; kept in this browser. */
export function originChoices(): Readonly<Record<string, OriginChoice>> {
  try {
    const found: unknown = JSON.parse(window.localStorage.getItem(CHOICES_KEY) ?? "{}");
    const entries = typeof found === "object" && found !== null ? Object.entries(found) : [];
    return Object.fromEntries(entries.filter((entry): entry is [string, OriginChoice] => entry[1] === "allowed" || entry[1] === "denied"));
  } catch {
    return {};
  }
}

/** Remembers what the user said about origins; null forgets it. */
export function chooseOrigins(origins: readonly string[], choice: OriginChoice | null): void {
  const others = Object.entries(originChoices()).filter(([origin]) => !origins.includes(origin));
  const own = choice === null ? [] : origins.map((origin) => [origin, choice] as const);
  window.localStorage.setItem(CHOICES_KEY, JSON.stringify(Object.fromEntries([...others, ...own])));
  tellServer();
}

/** The server puts allowed origins into the content security policy of the page, from the next time it is loaded. */
function tellServer(): void {
  const allowed = Object.entries(originChoices()).flatMap(([origin, choice]) => (choice === "allowed" ? [origin] : []));
  const secure = window.location.protocol === "https:" ? "; Secure" : "";
  const age = allowed.length === 0 ? 0 : A_YEAR_S;
  document.cookie = `${COOKIE}=${encodeURIComponent(allowed.join(" "))}; Path=${new URL(".", window.location.href).pathname}; Max-Age=${age}; SameSite=Lax${secure}`;
}

function originsTold(): readonly string[] {
  const cookie = document.cookie.split("; ").find((one) => one.startsWith(`${COOKIE}=`));
  return cookie === undefined ? [] : decodeURIComponent(cookie.slice(COOKIE.length + 1)).split(" ");
}

/** What this page was loaded with: its policy is the one of then. */
const toldAtLoad = originsTold();

const originOf = (address: string): string => new URL(address).origin;

/** Gives the origins that the policy of this page names, as the server sends it with or without the user's cookie. */
async function policyOrigins(credentials: RequestCredentials): Promise<string[] | null> {
  const answer = await fetch(`${ownAddress()}/`, { method: "HEAD", credentials, cache: "no-store" }).catch(() => null);
  return originsOfPolicy(answer?.headers.get("Content-Security-Policy") ?? null);
}

/** Gives the origins that a content security policy lets a page connect to; null where it does not say. */
export function originsOfPolicy(policy: string | null): string[] | null {
  const connect = policy?.split(";").find((one) => /^\s*connect-src\s/.test(one));
  if (connect === undefined) return null;
  return connect.trim().split(/\s+/).slice(1).flatMap((source) => {
    const address = source.startsWith("'") ? null : tidyAddress(source);
    return address === null ? [] : [originOf(address)];
  }); // prettier-ignore
}

/** `ask`: the user has not said yet; `denied`: the user said no; `blocked`: the browser would not let it through. */
export interface Verdict {
  readonly kind: "go" | "reload" | "ask" | "denied" | "blocked";
  /** The origins that it is about. */
  readonly origins: readonly string[];
}

export const GO: Verdict = { kind: "go", origins: [] };

/** Gives the origins of services that are not the page's own. */
export function foreignOrigins(asked: Endpoints): string[] {
  return [...new Set([asked.rest, asked.socket].map(originOf))].filter((origin) => origin !== window.location.origin);
}

/**
 * Tells whether the services may be asked.
 *
 * Whoever started the board may have named them: then they stand in the policy that the server sends to anybody, and the
 * board opens at once. All others need the user's word, and then the page is loaded once more, with a policy that has them.
 */
export async function whoMayAsk(asked: Endpoints): Promise<Verdict> {
  const foreign = foreignOrigins(asked);
  if (foreign.length === 0) return GO;
  const named = await policyOrigins("omit");
  const origins = foreign.filter((origin) => !(named ?? []).includes(origin));
  const choices = originChoices();
  const unknown = origins.filter((origin) => choices[origin] === undefined);
  if (origins.some((origin) => choices[origin] === "denied")) return { kind: "denied", origins };
  if (unknown.length > 0) return { kind: "ask", origins: unknown };
  if (origins.length === 0 || named === null) return GO;
  if (!origins.every((origin) => toldAtLoad.includes(origin))) {
    tellServer();
    return origins.every((origin) => originsTold().includes(origin)) ? { kind: "reload", origins } : { kind: "blocked", origins };
  }
  const allowed = await policyOrigins("same-origin");
  return allowed === null || origins.every((origin) => allowed.includes(origin)) ? GO : { kind: "blocked", origins };
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
