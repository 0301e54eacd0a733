// Measures the board in a headless Chromium: `node scripts/measure.js ADDRESS RUN`; prints one JSON object.
// Wall times are of this machine with whatever else it does; CPU times are the browser's own and say more.
import { chromium } from "@playwright/test";

const [address, run] = process.argv.slice(2);
const ROUNDS = 5;
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
const system = await browser.newBrowserCDPSession();

async function rendererCpuMs() {
  const { processInfo } = await system.send("SystemInfo.getProcessInfo");
  return 1000 * processInfo.filter(({ type }) => type === "renderer").reduce((sum, { cpuTime }) => sum + cpuTime, 0);
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Gives how long a page takes until it may be used, in a fresh context each time. */
async function opened(parameters, isReady, height = 800) {
  const [walls, cpus] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    const context = await browser.newContext({ viewport: { width: 1280, height } });
    const page = await context.newPage();
    const before = await rendererCpuMs();
    const started = performance.now();
    await page.goto(`${address}/?${new URLSearchParams({ run_id: run, ...parameters })}`);
    await isReady(page);
    walls.push(performance.now() - started);
    cpus.push((await rendererCpuMs()) - before);
    await context.close();
  }
  return { wall_ms: median(walls), cpu_ms: median(cpus) };
}

/** Gives how long something takes until the frame that shows it, from within the page. */
async function reacted(page, action, argument) {
  const [walls, cpus] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = await rendererCpuMs();
    walls.push(await page.evaluate(action, [argument, round]));
    cpus.push((await rendererCpuMs()) - before);
  }
  return { wall_ms: median(walls), cpu_ms: median(cpus) };
}

// Functions within the page would need an exception in its content security policy.
const rowsThere = (page) => page.locator('[role="grid"] [data-kind="experiment"]').nth(5).waitFor();
const chartsThere = (page) => page.locator(".u-over").nth(9).waitFor();
const found = {};
found.flow = await opened({ page: "flow" }, rowsThere);
found.analysis = await opened({ page: "analysis" }, chartsThere, 2200);

const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
await page.goto(`${address}/?${new URLSearchParams({ run_id: run, page: "flow" })}`);
await rowsThere(page);
await page.waitForTimeout(2000);
found.sort = await reacted(page, async () => {
  const frames = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const header = [...document.querySelectorAll('[role="columnheader"] button')].at(-3);
  const started = performance.now();
  header.click();
  await frames();
  return performance.now() - started;
});
found.filter = await reacted(page, async ([, round]) => {
  const frames = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const input = document.querySelector("[data-search] input");
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  const started = performance.now();
  set.call(input, `id>${1 + round}`);
  input.dispatchEvent(new Event("input", { bubbles: true }));
  await frames();
  return performance.now() - started;
});
const beforeScroll = await rendererCpuMs();
found.scroll = await page.evaluate(async () => {
  const grid = document.querySelector('[role="grid"]');
  const gaps = [];
  let last = performance.now();
  for (let frame = 0; frame < 120; frame += 1) {
    grid.scrollTop += 90;
    await new Promise((resolve) => requestAnimationFrame(resolve));
    gaps.push(performance.now() - last);
    last = performance.now();
  }
  gaps.sort((a, b) => a - b);
  return { frames_per_s: 1000 / gaps[60], slowest_ms: gaps.at(-2) };
});
found.scroll.cpu_ms_per_frame = ((await rendererCpuMs()) - beforeScroll) / 120;

const tall = await browser.newPage({ viewport: { width: 1280, height: 2200 } });
await tall.goto(`${address}/?${new URLSearchParams({ run_id: run, page: "analysis" })}`);
await chartsThere(tall);
await tall.waitForTimeout(3000);
const [walls, cpus] = [[], []];
const box = await tall.locator(".u-over").first().boundingBox();
for (let round = 0; round < ROUNDS; round += 1) {
  await tall.mouse.move(box.x + box.width * 0.1, box.y + 50);
  await tall.mouse.down();
  await tall.mouse.move(box.x + box.width * (0.5 + round / 20), box.y + 60, { steps: 3 });
  await tall.evaluate(() => {
    const ended = new Promise((resolve) => {
      const begin = () => {
        const started = performance.now();
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - started)));
      };
      document.addEventListener("mouseup", begin, { once: true, capture: true });
    });
    Object.assign(window, { ended });
  });
  const before = await rendererCpuMs();
  await tall.mouse.up();
  walls.push(await tall.evaluate(() => window.ended));
  if (!new URL(tall.url()).searchParams.has("zoom")) throw new Error("nothing was zoomed");
  cpus.push((await rendererCpuMs()) - before);
}
found.zoom = { wall_ms: median(walls), cpu_ms: median(cpus) };
const cdp = await tall.context().newCDPSession(tall);
await cdp.send("HeapProfiler.collectGarbage");
await cdp.send("Performance.enable");
const { metrics } = await cdp.send("Performance.getMetrics");
const heap = await cdp.send("Runtime.getHeapUsage");
found.memory = { heap_mb: metrics.find(({ name }) => name === "JSHeapUsedSize").value / 1e6, buffers_mb: (heap.backingStorageSize ?? 0) / 1e6 };
await browser.close();
process.stdout.write(`${JSON.stringify(found)}\n`);
