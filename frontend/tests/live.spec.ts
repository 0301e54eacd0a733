// A run that goes on while somebody looks.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startBoard, startRun } from "./setup/services";
import { linesOf, storage } from "./setup/storage";
import { cellsOf, expect, open, test, without } from "./setup/test";

const RUN = "live";

test("rows and curves grow, and nothing is lost or doubled when the hub restarts", async ({ page }) => {
  test.setTimeout(150_000);
  const config = join(storage(), "live.yml");
  const text = readFileSync(process.env.MLBOARD_CONFIG ?? "", "utf8");
  writeFileSync(config, text.replace("epochs: 4", "epochs: 60").replace("1.0]", "0.05]").replace("digits-for-tests", "digits-live"));
  let board = await startBoard(storage());
  const run = startRun(config, storage(), "--run-id", RUN);
  try {
    await expect.poll(async () => (await fetch(`${board.address}/api/v1/runs/${RUN}/experiments`)).status, { timeout: 40_000 }).toBe(200);
    await open(page, board.address, { run_id: RUN });
    await expect.poll(async () => Object.values(await cellsOf(page)).some(({ state }) => state === "running"), { timeout: 40_000 }).toBe(true);
    const events = page.getByRole("region", { name: "Time travel" });
    const count = async (): Promise<number> => Number((/([\d,]+) events/.exec((await events.textContent()) ?? "")?.[1] ?? "0").replaceAll(",", ""));
    const before = await count();
    await expect.poll(count, { timeout: 20_000 }).toBeGreaterThan(before + 20);

    await board.stop();
    await expect(page.getByText(/Not connected/)).toBeVisible();
    board = await startBoard(storage(), board.port);
    await expect(page.getByText(/Not connected/)).toBeHidden({ timeout: 30_000 });

    expect(await run.ended).toBe(0);
    await expect.poll(count, { timeout: 20_000 }).toBe(linesOf(RUN).length);
    await expect.poll(async () => Object.values(await cellsOf(page)).every(({ state }) => state === "done"), { timeout: 10_000 }).toBe(true);
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
