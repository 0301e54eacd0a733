// Measures the board while events come: `node scripts/live.js ADDRESS RUN METRIC -- PRODUCER...`; prints one JSON object.
//
// The producer is a program that appends events to the run's log. For each line `COUNT GAP_S` on its input it appends so
// many, one after the other, each with a value of its own for METRIC of experiment 0, and says on its output for each
// which value, and when: just before it was appended, in s since the epoch.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { launched, median, quantile } from "./browser.js";

const [address, run, metric, , ...command] = process.argv.slice(2);
const [SINGLE, SINGLE_GAP_S] = [40, 0.3];
const [MANY, MANY_GAP_S] = [300, 0.02];
const { browser, cpuMs } = await launched();

const producer = spawn(command[0], command.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
const told = createInterface({ input: producer.stdout })[Symbol.asyncIterator]();

async function produced(count, gap) {
  producer.stdin.write(`${count} ${gap}\n`);
  const all = [];
  while (all.length < count) all.push(JSON.parse((await told.next()).value));
  return all;
}

async function opened(parameters, height, isReady) {
  const page = await browser.newPage({ viewport: { width: 1280, height } });
  await page.goto(`${address}/?${new URLSearchParams({ run_id: run, ...parameters })}`);
  await isReady(page).waitFor();
  await page.waitForTimeout(2000);
  return page;
}

/** In the page: notes after each frame what a cell says and what is drawn on a canvas, and how long frames take. */
function watch() {
  const seen = [];
  const gaps = [];
  let [last, text, sum] = [performance.now(), null, null];
  const look = () => {
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    // After the frame's own work, as what it draws is on the screen then.
    setTimeout(() => {
      const at = performance.timeOrigin + performance.now();
      const cell = document.querySelector('[data-kind="experiment"] [role="gridcell"]:last-child')?.textContent ?? null;
      if (cell !== text) seen.push({ at, text: (text = cell) });
      const canvas = document.querySelector('.uplot[data-state="sharp"] canvas');
      if (canvas === null) return;
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let now = 0;
      for (let i = 0; i < pixels.length; i += 1) now = (now * 31 + pixels[i]) | 0;
      if (now !== sum) seen.push({ at, picture: (sum = now) });
    });
    if (window.watching) requestAnimationFrame(look);
  };
  Object.assign(window, { watching: true, seen, gaps });
  requestAnimationFrame(look);
}

async function watched(page, work) {
  await page.evaluate(watch);
  const made = await work();
  await page.waitForTimeout(1000);
  const [seen, gaps] = await page.evaluate(() => ((window.watching = false), [window.seen, window.gaps]));
  return { made, seen, gaps };
}

/** Gives how long after an event was appended something that tells of it was there. */
function delays(made, seen, isOf) {
  return made.flatMap((event) => {
    const shown = seen.find((one) => one.at > event.at * 1000 && isOf(one, event));
    return shown === undefined ? [] : [shown.at - event.at * 1000];
  });
}

const latencies = (all, count) => ({ median_ms: median(all), p95_ms: quantile(all, 0.95), seen: all.length, of: count });

/** Gives what frames take while events come quickly; watching canvases would itself cost frames, so only gaps are noted. */
async function flooded(page) {
  const before = await cpuMs();
  const began = performance.now();
  await page.evaluate(() => {
    const gaps = [];
    let last = performance.now();
    const look = (now) => {
      gaps.push(now - last);
      last = now;
      if (window.watching) requestAnimationFrame(look);
    };
    Object.assign(window, { watching: true, gaps });
    requestAnimationFrame(look);
  });
  const made = await produced(MANY, MANY_GAP_S);
  const gaps = (await page.evaluate(() => ((window.watching = false), window.gaps))).slice(1);
  const seconds = (performance.now() - began) / 1000;
  return {
    frames_per_s: (1000 * gaps.length) / gaps.reduce((a, b) => a + b, 0),
    p95_ms: quantile(gaps, 0.95),
    events_per_s: (made.length - 1) / (made.at(-1).at - made[0].at),
    cpu_share: ((await cpuMs()) - before) / 1000 / seconds,
  };
}

const found = {};
const flow = await opened({ page: "flow", cols: `experiment_id,status,latest:${metric}` }, 800, (page) => page.locator('[data-kind="experiment"]').first());
const row = await watched(flow, () => produced(SINGLE, SINGLE_GAP_S));
found.cell = latencies(delays(row.made, row.seen, (one, event) => Number(one.text) === event.value), SINGLE);
await flow.close();
const whole = await opened({ page: "flow" }, 800, (page) => page.locator('[data-kind="experiment"]').first());
found.flow = await flooded(whole);
await whole.close();
const one = await opened({ page: "analysis", match: `^${metric}$` }, 800, (page) => page.locator('.uplot[data-state="sharp"]').first());
const curve = await watched(one, () => produced(SINGLE, SINGLE_GAP_S));
found.curve = latencies(delays(curve.made, curve.seen, ({ picture }) => picture !== undefined), SINGLE);
await one.close();
const charts = await opened({ page: "analysis" }, 2200, (page) => page.locator('.uplot[data-state="sharp"]').nth(9));
found.charts = await flooded(charts);
producer.stdin.end();
await browser.close();
process.stdout.write(`${JSON.stringify(found)}\n`);
