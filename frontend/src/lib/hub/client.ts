// What the page asks the REST service.
import { restAddress, token } from "../endpoints";
import { ask, askBytes } from "./request";

export { HubError } from "./request";

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

/** Asks for JSON. The type is the one in the OpenAPI file, which the hub's own tests hold it to. */
export async function getJson<T>(route: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const answer = await ask(routeAddress(route, query), token(), signal === undefined ? {} : { signal });
  return (await answer.json()) as T;
}

export async function getText(route: string, query: Query = {}): Promise<string> {
  return (await ask(routeAddress(route, query), token(), {})).text();
}

export async function getBlob(route: string, query: Query = {}): Promise<Blob> {
  return (await ask(routeAddress(route, query), token(), {})).blob();
}

export async function postForBytes(route: string, body: unknown, signal?: AbortSignal): Promise<ArrayBuffer> {
  return askBytes(routeAddress(route), token(), body, signal);
}

export async function send(method: "POST" | "PATCH" | "DELETE", route: string, body?: unknown): Promise<void> {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  await ask(routeAddress(route), token(), { method, ...json });
}
