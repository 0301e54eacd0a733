// The one place that asks the REST service. No other part of the board calls `fetch`.
import { restAddress, token } from "../endpoints";

/** What went wrong with a request, in the hub's words where it gave any. */
export class HubError extends Error {
  constructor(
    message: string,
    readonly status: number | null,
    readonly code: string,
    readonly path: string | null = null,
  ) {
    super(message);
    this.name = "HubError";
  }
}

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | null | undefined>>;

/** Gives the address of a route, with the parameters that have a value. */
export function routeAddress(route: string, query: Query = {}): string {
  const address = new URL(`${restAddress()}${route}`);
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [value]) address.searchParams.append(name, String(one));
  }
  return address.toString();
}

export const runRoute = (runId: string, rest = ""): string => `/api/v1/runs/${encodeURIComponent(runId)}${rest}`;

async function ask(route: string, query: Query, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  const secret = token();
  if (secret !== null) headers.set("Authorization", `Bearer ${secret}`);
  let answer: Response;
  try {
    answer = await fetch(routeAddress(route, query), { ...init, headers, credentials: "omit" });
  } catch (reason) {
    if (reason instanceof DOMException && reason.name === "AbortError") throw reason;
    throw new HubError(`The hub at ${restAddress()} does not answer.`, null, "unreachable");
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

async function problemOf(answer: Response): Promise<HubError> {
  const body: unknown = await answer.json().catch(() => null);
  const problem = isRecord(body) && isRecord(body.error) ? body.error : {};
  const message = typeof problem.message === "string" ? problem.message : `The hub answered ${answer.status}.`;
  const code = typeof problem.code === "string" ? problem.code : "error";
  return new HubError(message, answer.status, code, typeof problem.path === "string" ? problem.path : null);
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** Asks for JSON. The type is the one in the OpenAPI file, which the hub's own tests hold it to. */
export async function getJson<T>(route: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const answer = await ask(route, query, signal === undefined ? {} : { signal });
  return (await answer.json()) as T;
}

export async function getText(route: string, query: Query = {}): Promise<string> {
  return (await ask(route, query, {})).text();
}

export async function getBlob(route: string, query: Query = {}): Promise<Blob> {
  return (await ask(route, query, {})).blob();
}

export async function postForBytes(route: string, body: unknown, signal?: AbortSignal): Promise<ArrayBuffer> {
  const init = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return (await ask(route, {}, signal === undefined ? init : { ...init, signal })).arrayBuffer();
}

export async function send(method: "POST" | "PATCH" | "DELETE", route: string, body?: unknown): Promise<void> {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  await ask(route, {}, { method, ...json });
}
