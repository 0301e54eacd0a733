// Measures how long a page of any tracker takes until it shows something: `node scripts/peer.js ADDRESS SELECTOR NTH`;
// prints one JSON object. A canvas shows something when its pixels are not all alike.
import { launched, median } from "./browser.js";

const [address, selector, nth] = process.argv.slice(2);
const [ROUNDS, LIMIT_MS] = [3, 25_000];
const { browser, cpuMs } = await launched();
const [walls, cpus] = [[], []];

function isDrawn([wanted, count]) {
  const found = [...document.querySelectorAll(wanted)].filter((one) => one.getClientRects().length > 0);
  const shown = found.filter((one) => {
    if (!(one instanceof HTMLCanvasElement)) return true;
    if (one.width === 0 || one.height === 0) return false;
    const pixels = new Uint32Array(one.getContext("2d").getImageData(0, 0, one.width, one.height).data.buffer);
    return pixels.some((pixel) => pixel !== pixels[0]);
  });
  return shown.length > count;
}

for (let round = 0; round < ROUNDS; round += 1) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 1400 }, bypassCSP: true });
  const page = await context.newPage();
  const before = await cpuMs();
  const started = performance.now();
  await page.goto(address, { waitUntil: "commit", timeout: LIMIT_MS });
  await page.waitForFunction(isDrawn, [selector, Number(nth)], { timeout: LIMIT_MS });
  walls.push(performance.now() - started);
  cpus.push((await cpuMs()) - before);
  await context.close();
}
await browser.close();
process.stdout.write(`${JSON.stringify({ wall_ms: median(walls), cpu_ms: median(cpus) })}\n`);
