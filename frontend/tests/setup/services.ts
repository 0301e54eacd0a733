// Real services and real runs for the tests: each a process of its own, ended when the test is over.
import { spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

export const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));
const PYTHON = `${REPOSITORY}.venv/bin/python`;

export interface Service {
  readonly address: string;
  readonly port: number;
  readonly stop: () => Promise<void>;
}

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}

function mlgym(...words: readonly string[]): ChildProcess {
  return spawn(PYTHON, ["-m", "mlgym", ...words], { stdio: ["ignore", "pipe", "pipe"] });
}

/** Starts hub and board, as `mlgym board` does, and waits until it answers. */
export async function startBoard(storage: string, wanted?: number, ...more: readonly string[]): Promise<Service> {
  const port = wanted ?? (await freePort());
  const child = mlgym("board", "--storage", storage, "--port", String(port), ...more);
  const said: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text: Buffer) => said.push(text.toString()));
  const address = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries += 1) {
    const isUp = await fetch(`${address}/api/v1/health`).then((answer) => answer.ok, () => false); // prettier-ignore
    if (isUp) break;
    if (child.exitCode !== null || tries > 300) throw new Error(`the board did not start: ${said.join("")}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return { address, port, stop: () => stopped(child) };
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), 5000);
  await ended;
  clearTimeout(late);
}

export interface Run {
  readonly ended: Promise<number>;
  /** Ends the driver as a power cut would: it can say nothing any more. */
  readonly kill: () => void;
  readonly stop: () => Promise<void>;
}

/** Runs a command to its end; the promise gives its exit code. */
export function finished(child: ChildProcess): Promise<number> {
  const said: string[] = [];
  child.stderr?.on("data", (text: Buffer) => said.push(text.toString()));
  return new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => (code === null || code > 1 ? reject(new Error(said.join(""))) : resolve(code)));
  });
}

/** Runs an experiment again, as a run of its own, and compares the two. */
export const reproduce = (run: string, experiment: number, storage: string): Promise<number> =>
  finished(mlgym("reproduce", run, "--experiment", String(experiment), "--storage", storage));

/** Starts a training run; the promise gives its exit code. */
export function startRun(config: string, storage: string, ...more: readonly string[]): Run {
  const child = mlgym("run", config, "--storage", storage, "--processes", "1", ...more);
  return { ended: finished(child), kill: () => void child.kill("SIGKILL"), stop: () => stopped(child) };
}
