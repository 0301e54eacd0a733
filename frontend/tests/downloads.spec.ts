// What somebody takes away: each file is what the hub has, or what stands on the page.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Locator, Page } from "@playwright/test";
import { CHATTY, HOSTILE, NUM_LINES } from "./setup/events";
import { storage, TRAINED } from "./setup/storage";
import { expect, open, test } from "./setup/test";

interface Saved {
  readonly name: string;
  readonly path: string;
  readonly bytes: Buffer;
}

async function saved(page: Page, button: Locator): Promise<Saved> {
  const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
  // Under its own name: a browser opens a page only where it is called one.
  const path = test.info().outputPath(download.suggestedFilename());
  await download.saveAs(path);
  return { name: download.suggestedFilename(), path, bytes: readFileSync(path) };
}

const fetched = async (address: string, route: string): Promise<Buffer> => Buffer.from(await (await fetch(`${address}/api/v1/runs/${route}`)).arrayBuffer());

test("a checkpoint that is downloaded is the file", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED, page: "experiment", experiment: "0", part: "checkpoints" });
  const { name, bytes } = await saved(strict, strict.getByRole("button", { name: /^Download model/ }).first());
  const folder = join(storage(), TRAINED, "0", "checkpoints");
  const hash = (data: Buffer): string => createHash("sha256").update(data).digest("hex");
  expect(readdirSync(folder).map((one) => hash(readFileSync(join(folder, one, name))))).toContain(hash(bytes));
});

test("figures and texts that were logged are shown, and saved as they are", async ({ strict, address }) => {
  const pixel = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg==", "base64");
  const files = [["curve.0", "curve.png", pixel], ["said.0", "said.txt", Buffer.from("the first")], ["said.1", "said.txt", Buffer.from("<img src=x onerror=alert(1)>")]] as const; // prettier-ignore
  for (const [folder, name, bytes] of files) {
    const path = join(storage(), CHATTY, "0", "artifacts", folder);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, name), bytes);
    writeFileSync(join(path, "manifest.json"), JSON.stringify({ [name]: { bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") } }));
  }
  await open(strict, address, { run_id: CHATTY, page: "experiment", experiment: "0", part: "files" });
  const picture = strict.getByRole("img", { name: "curve, version 0" });
  await expect.poll(() => picture.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(1);
  const said = strict.getByRole("region", { name: "said" });
  await expect(said).toContainText("<img src=x onerror=alert(1)>");
  await said.getByRole("combobox", { name: "version" }).selectOption("0");
  await expect(said).toContainText("the first");
  const file = await saved(strict, strict.getByRole("button", { name: "Download curve.png, version 0" }));
  expect([file.name, file.bytes.equals(pixel)]).toEqual(["curve.png", true]);
});

test("tables are saved as they are shown, and whole", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED, filter: "status:done", sort: "val/loss" });
  await expect(strict.getByRole("grid", { name: "Experiments" }).getByRole("row")).toHaveCount(5);
  const take = async (name: string): Promise<Saved> => {
    await strict.getByRole("button", { name: "Download", exact: true }).click();
    const file = await saved(strict, strict.getByRole("button", { name, exact: true }));
    await strict.keyboard.press("Escape");
    return file;
  };
  const shown = await take("This table (CSV)");
  const lines = shown.bytes.toString().trim().split("\r\n");
  expect(lines).toHaveLength(5);
  const losses = lines.slice(1).map((line) => Number(line.replace(/"[^"]*"/g, "").split(",")[lines[0]?.split(",").indexOf("val/loss") ?? -1]));
  expect(losses).toEqual([...losses].sort((a, b) => a - b));
  expect((await take("All columns (CSV)")).bytes.equals(await fetched(address, `${TRAINED}/export?what=experiments&format=csv&filter=status:done`))).toBe(true);
  expect((await take("Every measurement (CSV)")).bytes.equals(await fetched(address, `${TRAINED}/export?what=metrics&format=csv`))).toBe(true);
  const parquet = await take("Every measurement (Parquet)");
  expect([parquet.name, parquet.bytes.subarray(0, 4).toString(), parquet.bytes.subarray(-4).toString()]).toEqual([`${TRAINED}-metrics.parquet`, "PAR1", "PAR1"]); // prettier-ignore
});

test("a model card is the hub's Markdown, and a page that stands alone", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED, page: "experiment", experiment: "0", part: "card" });
  const markdown = await saved(strict, strict.getByRole("button", { name: "Save as Markdown" }));
  expect(markdown.bytes.equals(await fetched(address, `${TRAINED}/experiments/0/model-card?format=markdown`))).toBe(true);
  const html = await saved(strict, strict.getByRole("button", { name: "Save as HTML" }));
  const shown = await strict.getByRole("article").innerText();
  await strict.goto(`file://${html.path}`);
  await expect(strict.getByRole("heading", { level: 1 })).toContainText("experiment 0");
  expect((await strict.locator("body").innerText()).replace(/\s+/g, "")).toBe(shown.replace(/\s+/g, ""));
});

test("a hostile model card stays text where it is opened", async ({ strict, address }) => {
  await open(strict, address, { run_id: HOSTILE, page: "experiment", experiment: "0", part: "card" });
  const html = await saved(strict, strict.getByRole("button", { name: "Save as HTML" }));
  expect(html.bytes.toString()).toContain("&lt;script&gt;");
  await strict.goto(`file://${html.path}`);
  await expect(strict.getByRole("heading", { level: 1 })).toContainText("<script>alert(1)</script>");
  expect(await strict.locator("script, img, iframe, svg").count()).toBe(0);
});

test("a log is read up to its first line, and saved whole", async ({ strict, address }) => {
  await open(strict, address, { run_id: CHATTY, page: "experiment", experiment: "0", part: "logs" });
  const log = strict.getByRole("log");
  await expect(log).toContainText(`line ${NUM_LINES - 1}`);
  const file = await saved(strict, strict.getByRole("button", { name: "Save", exact: true }));
  const lines = file.bytes.toString().trim().split("\n");
  expect([lines.length, lines[0]?.endsWith("info line 0"), lines.at(-1)?.endsWith(`line ${NUM_LINES - 1}`)]).toEqual([NUM_LINES, true, true]);
  await log.hover();
  // What comes above moves nothing: the line at the top stays there until the wheel turns again.
  await expect.poll(async () => (await strict.mouse.wheel(0, -20_000), await log.innerText())).toMatch(/\bline 0\b/);
  await expect(strict.getByRole("checkbox", { name: "follow" })).not.toBeChecked();
});

test("a chart is saved as a picture and as its points", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED, page: "analysis" });
  await expect(strict.getByRole("img", { name: /^val\/loss over epoch/ })).toBeVisible();
  await strict.waitForLoadState("networkidle");
  const picture = await saved(strict, strict.getByRole("button", { name: "Save val/loss as a picture" }));
  expect(picture.bytes.subarray(1, 4).toString()).toBe("PNG");
  // A blank one of this size has a few hundred bytes.
  expect(picture.bytes.length).toBeGreaterThan(3000);
  const points = await saved(strict, strict.getByRole("button", { name: "Save the points of val/loss" }));
  const rows = points.bytes.toString().trim().split("\r\n").slice(1);
  const metrics = (await fetched(address, `${TRAINED}/metrics?keys=val/loss`)).toString();
  const series = (JSON.parse(metrics) as { series: { experiment_id: number; values: number[] }[] }).series;
  expect(rows.map((row) => Number(row.split(",")[4]))).toEqual(series.flatMap(({ values }) => values));
});
