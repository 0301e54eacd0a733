// Pictures of every page for the documentation: `node scripts/screenshots.js ADDRESS FOLDER NESTED GRID SEARCH FAILING`, with the ids
// of a nested cross validation, of a grid, of a search, and of a run of which some failed.
import { chromium } from "@playwright/test";
import { join } from "node:path";

const [address, folder, nested, grid, search, failing] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });

async function picture(name, parameters, { scheme = "light", width = 1280, height = 760 } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
  const page = await context.newPage();
  await page.goto(`${address}/?${new URLSearchParams(parameters)}`);
  await page.waitForLoadState("networkidle");
  await page.waitForTimeout(2500);
  await page.screenshot({ path: join(folder, `board-${name}.png`) });
  await context.close();
}

await picture("runs", { page: "runs" });
await picture("flow", { run_id: failing, page: "flow", sel: "1,7" }, { width: 1440, height: 560 });
await picture("analysis", { run_id: grid, page: "analysis", sel: "6,12", log: "y" });
await picture("analysis-dark", { run_id: nested, page: "analysis", match: "^(val|test)/(f1|loss)" }, { scheme: "dark" });
await picture("parameters", { run_id: grid, page: "parameters" });
await picture("validation", { run_id: nested, page: "validation" });
await picture("search", { run_id: search, page: "validation" });
await picture("experiment", { run_id: grid, page: "experiment", experiment: "6" });
await picture("system", { run_id: search, page: "experiment", experiment: "18", part: "system" }, { height: 520 });
await picture("settings", { run_id: grid, page: "settings" });
await picture("phone", { run_id: grid, page: "flow", sort: "-val/f1_macro" }, { width: 390, height: 760 });
await browser.close();
