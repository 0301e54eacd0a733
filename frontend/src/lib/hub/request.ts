// One request to the REST service, from the page or the worker. Nothing else calls `fetch` to it, but for `start.js`.

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

type Early = Record<string, Promise<Response | null> | undefined>;

/** Gives the answer that `start.js` asked for before this program was there; each is given once. */
async function askedEarly(address: string, { method }: RequestInit): Promise<Response | null> {
  const early = (globalThis as { readonly mlboardAsked?: Early }).mlboardAsked;
  const answer = method === undefined ? early?.[address] : undefined;
  if (early === undefined || answer === undefined) return null;
  early[address] = undefined;
  return answer;
}

/** Asks, and gives the answer if it is a good one. */
export async function ask(address: string, secret: string | null, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  if (secret !== null) headers.set("Authorization", `Bearer ${secret}`);
  let answer: Response;
  try {
    answer = (await askedEarly(address, init)) ?? (await fetch(address, { ...init, headers, credentials: "omit" }));
  } catch (reason) {
    if (reason instanceof DOMException && reason.name === "AbortError") throw reason;
    throw new HubError(`The hub at ${new URL(address).origin} does not answer.`, null, "unreachable");
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

/** Asks for bytes with a query that is too long for an address. */
export async function askBytes(address: string, secret: string | null, body: unknown, signal?: AbortSignal): Promise<ArrayBuffer> {
  const init = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return (await ask(address, secret, signal === undefined ? init : { ...init, signal })).arrayBuffer();
}

async function problemOf(answer: Response): Promise<HubError> {
  const body: unknown = await answer.json().catch(() => null);
  const problem = isRecord(body) && isRecord(body.error) ? body.error : {};
  const message = typeof problem.message === "string" ? problem.message : `The hub answered ${answer.status}.`;
  const code = typeof problem.code === "string" ? problem.code : "error";
  return new HubError(message, answer.status, code, typeof problem.path === "string" ? problem.path : null);
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
