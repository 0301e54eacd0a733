// A run that goes on while somebody looks.
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startBoard, startRun } from "./setup/services";
import { linesOf, storage, TRAINED } from "./setup/storage";
import { cellsOf, expect, open, test, without } from "./setup/test";

const RUN = "live";

interface Long {
  readonly config: string;
  /** Trains on as fast as it can: until then each batch takes its time, so that there is something to look at. */
  readonly hurry: () => void;
}

/** Writes a config like that of the trained run, but for its length and without failures. */
function longRun(name: string): Long {
  const config = join(storage(), `${name}.yml`);
  const file = join(storage(), `${name}-unhurried`);
  const text = readFileSync(process.env.MLBOARD_CONFIG ?? "", "utf8");
  writeFileSync(file, "");
  writeFileSync(
    config,
    text
      .replace("epochs: 4", "epochs: 40, early_stopping: []")
      .replace("1.0]", "0.05]")
      .replace("digits-for-tests", name)
      .replace("components:", `components:\n  loss: {use: unhurried_cross_entropy, file: ${file}}`),
  );
  return { config, hurry: () => rmSync(file, { force: true }) };
}

test("a run whose driver was killed is shown as crashed while somebody looks", async ({ page, address }) => {
  test.setTimeout(360_000);
  const run = startRun(longRun("digits-killed").config, storage(), "--run-id", "killed");
  run.ended.catch(() => undefined);
  try {
    await expect.poll(async () => (await fetch(`${address}/api/v1/runs/killed/experiments`)).status, { timeout: 60_000 }).toBe(200);
    await open(page, address, { run_id: "killed" });
    await expect.poll(async () => Object.values(await cellsOf(page)).some(({ state }) => state === "running"), { timeout: 60_000 }).toBe(true);
    run.kill();
    await expect(page.getByRole("banner")).toContainText("crashed");
    await expect.poll(async () => Object.values(await cellsOf(page)).some(({ state }) => state === "interrupted")).toBe(true);
  } finally {
    await run.stop();
  }
});

test("the list hears of a run that comes, asks for it alone, and says that its log is damaged", async ({ page, address }) => {
  const folder = join(storage(), "came");
  const asked: string[] = [];
  page.on("request", (request) => request.url().includes("/api/v1/runs?") && asked.push(request.url()));
  try {
    await open(page, address, { page: "runs" });
    const row = page.getByRole("grid", { name: "Runs" }).getByRole("row", { name: /came/ });
    await expect(page.getByRole("grid", { name: "Runs" })).toContainText(TRAINED);
    mkdirSync(folder);
    writeFileSync(join(folder, "event_storage.log"), [...linesOf(TRAINED).slice(0, 5), "{no event", ""].join("\n"));
    await expect(row).toContainText("log damaged after 5 events");
    // It may have come while nobody was told yet; what changes after that is named.
    await expect
      .poll(() => {
        appendFileSync(join(folder, "event_storage.log"), "more\n");
        return asked.some((url) => new URL(url).searchParams.getAll("run").join() === "came");
      })
      .toBe(true);
    await open(page, address, { run_id: "came" });
    await expect(page.getByRole("alert")).toContainText("the log is damaged in line 6");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("rows and curves grow, and nothing is lost or doubled when the hub restarts", async ({ page }) => {
  test.setTimeout(360_000);
  const long = longRun("digits-live");
  let board = await startBoard(storage());
  const run = startRun(long.config, storage(), "--run-id", RUN);
  try {
    await expect.poll(async () => (await fetch(`${board.address}/api/v1/runs/${RUN}/experiments`)).status, { timeout: 60_000 }).toBe(200);
    await open(page, board.address, { run_id: RUN });
    await expect.poll(async () => Object.values(await cellsOf(page)).some(({ state }) => state === "running"), { timeout: 60_000 }).toBe(true);
    const events = page.getByRole("region", { name: "Time travel" });
    const count = async (): Promise<number> => Number((/([\d,]+) events/.exec((await events.textContent()) ?? "")?.[1] ?? "0").replaceAll(",", ""));
    const before = await count();
    await expect.poll(count).toBeGreaterThan(before + 20);

    await board.stop();
    await expect(page.getByText(/Not connected/)).toBeVisible();
    board = await startBoard(storage(), board.port);
    await expect(page.getByText(/Not connected/)).toBeHidden();

    long.hurry();
    expect(await run.ended).toBe(0);
    await expect.poll(count).toBe(linesOf(RUN).length);
    await expect.poll(async () => Object.values(await cellsOf(page)).every(({ state }) => state === "done")).toBe(true);
    const grown = await cellsOf(page);
    await page.reload();
    await expect(page.getByRole("grid", { name: "Experiments" })).toBeVisible();
    await expect.poll(async () => Object.keys(await cellsOf(page)).length).toBe(Object.keys(grown).length);
    const facts = (cells: typeof grown): unknown => Object.entries(cells).map(([id, cell]) => [id, without(cell, ["time"])]);
    expect(facts(await cellsOf(page))).toEqual(facts(grown));

    await open(page, board.address, { run_id: RUN, page: "experiment", experiment: "0", part: "system" });
    await expect(page.getByRole("img", { name: /^memory in MB over time/ })).toBeVisible();
  } finally {
    await run.stop();
    await board.stop();
  }
});
