// The browser of the measurements, and what its renderers use.
import { chromium } from "@playwright/test";
import { readFileSync } from "node:fs";

const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export async function launched() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
  const system = await browser.newBrowserCDPSession();
  const renderers = async () => (await system.send("SystemInfo.getProcessInfo")).processInfo.filter(({ type }) => type === "renderer");
  return {
    browser,
    /** CPU time of all threads of all renderers. */
    cpuMs: async () => 1000 * (await renderers()).reduce((sum, { cpuTime }) => sum + cpuTime, 0),
    /** What the largest renderer has in memory that nobody shares with it: page, worker, pictures, everything. */
    privateMb: async () => Math.max(...(await renderers()).map(({ id }) => privateMbOf(id))),
  };
}

function privateMbOf(pid) {
  const lines = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm);
  return [...lines].reduce((sum, [, kb]) => sum + Number(kb) / 1000, 0);
}

export const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];
export const median = (values) => quantile(values, 0.5);
