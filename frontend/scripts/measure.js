// Measures the board in a headless Chromium: `node scripts/measure.js ADDRESS RUN`; prints one JSON object.
// Wall times are of this machine with whatever else it does; CPU times are the browser's own and say more.
import { launched, median } from "./browser.js";

const [address, run] = process.argv.slice(2);
const ROUNDS = 5;
const CHARTS = 10;
const { browser, cpuMs, privateMb } = await launched();

/** Gives how long a page takes until it may be used, in a fresh context each time. */
async function opened(parameters, isReady, height = 800) {
  const [walls, cpus] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    const context = await browser.newContext({ viewport: { width: 1280, height } });
    const page = await context.newPage();
    const before = await cpuMs();
    const started = performance.now();
    // What the page has loaded is not waited for, only what it shows.
    await page.goto(addressOf(parameters), { waitUntil: "commit" });
    await isReady(page);
    walls.push(performance.now() - started);
    cpus.push((await cpuMs()) - before);
    await context.close();
  }
  return { wall_ms: median(walls), cpu_ms: median(cpus) };
}

/** Gives how long something takes until the frame that shows it, from within the page. */
async function reacted(page, action) {
  const [walls, cpus] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = await cpuMs();
    walls.push(await page.evaluate(action, round));
    cpus.push((await cpuMs()) - before);
  }
  return { wall_ms: median(walls), cpu_ms: median(cpus) };
}

// Functions within the page would need an exception in its content security policy.
const addressOf = (parameters) => `${address}/?${new URLSearchParams({ run_id: run, ...parameters })}`;
const rowsThere = (page) => page.locator('[role="grid"] [data-kind="experiment"]').nth(5).waitFor();
// A chart is sharp when its curves are drawn as its axes are now, the grey layer too.
const chartsThere = (page) => page.locator('.uplot[data-state="sharp"]').nth(CHARTS - 1).waitFor();
const found = {};
found.flow = await opened({ page: "flow" }, rowsThere);
found.analysis = await opened({ page: "analysis" }, chartsThere, 2200);

const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
await page.goto(addressOf({ page: "flow" }));
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
found.filter = await reacted(page, async (round) => {
  const frames = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const input = document.querySelector("[data-search] input");
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  const started = performance.now();
  set.call(input, `id>${1 + round}`);
  input.dispatchEvent(new Event("input", { bubbles: true }));
  await frames();
  return performance.now() - started;
});
const beforeScroll = await cpuMs();
found.scroll = await page.evaluate(async () => {
  const grid = document.querySelector('[role="grid"]');
  const gaps = [];
  let last = performance.now();
  const began = last;
  for (let frame = 0; frame < 120; frame += 1) {
    grid.scrollTop += 90;
    await new Promise((resolve) => requestAnimationFrame(resolve));
    gaps.push(performance.now() - last);
    last = performance.now();
  }
  gaps.sort((a, b) => a - b);
  return { frames_per_s: 120_000 / (last - began), median_ms: gaps[60], p95_ms: gaps[114] };
});
found.scroll.cpu_ms_per_frame = ((await cpuMs()) - beforeScroll) / 120;
await page.close();

const tall = await browser.newPage({ viewport: { width: 1280, height: 2200 } });
await tall.goto(addressOf({ page: "analysis" }));
await chartsThere(tall);
await tall.waitForTimeout(3000);
const [firsts, walls, cpus] = [[], [], []];
const box = await tall.locator(".u-over").first().boundingBox();
for (let round = 0; round < ROUNDS; round += 1) {
  await tall.mouse.move(box.x + box.width * 0.1, box.y + 50);
  await tall.mouse.down();
  await tall.mouse.move(box.x + box.width * (0.5 + round / 20), box.y + 60, { steps: 3 });
  await tall.evaluate((count) => {
    const isSharp = () => document.querySelectorAll('.uplot[data-state="sharp"]').length >= count;
    const ended = new Promise((resolve) => {
      const begin = () => {
        const started = performance.now();
        let first = null;
        // After each frame: the first has the axes and the layer stretched, the last all of it as it is.
        const look = () => requestAnimationFrame(() => setTimeout(() => {
          const now = performance.now() - started;
          first ??= now;
          if (isSharp()) resolve([first, now]);
          else look();
        }));
        look();
      };
      document.addEventListener("mouseup", begin, { once: true, capture: true });
    });
    Object.assign(window, { ended });
  }, CHARTS);
  const before = await cpuMs();
  await tall.mouse.up();
  const [first, last] = await tall.evaluate(() => window.ended);
  firsts.push(first);
  walls.push(last);
  if (!new URL(tall.url()).searchParams.has("zoom")) throw new Error("nothing was zoomed");
  cpus.push((await cpuMs()) - before);
}
found.zoom = { first_ms: median(firsts), wall_ms: median(walls), cpu_ms: median(cpus) };
await (await tall.context().newCDPSession(tall)).send("HeapProfiler.collectGarbage");
found.memory = { private_mb: await privateMb() };
await browser.close();
process.stdout.write(`${JSON.stringify(found)}\n`);
