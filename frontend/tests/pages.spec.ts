// What somebody sees of a run that is over.
import { appendFileSync, cpSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { startBoard } from "./setup/services";
import { CUT, linesOf, OLD, REPRODUCED, storage, TRAINED } from "./setup/storage";
import { cellsOf, expect, open, test, without } from "./setup/test";

test("a link with a run opens it at once, on the first visit", async ({ strict, address }) => {
  await strict.goto(`${address}/?run_id=${TRAINED}`);
  await expect(strict.getByRole("grid", { name: "Experiments" }).getByRole("row")).toHaveCount(7);
  await expect(strict.getByRole("banner")).toContainText("digits-for-tests");
});

test("the link that ml_board prints opens it, too", async ({ strict, address }) => {
  const link = new URLSearchParams({ rest_endpoint: address, ws_endpoint: address, run_id: TRAINED });
  await strict.goto(`${address}/?${link.toString()}`);
  await expect(strict.getByRole("grid", { name: "Experiments" })).toContainText("done");
});

test("the table sorts and filters as the hub does", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED, cols: "experiment_id,status,optimizer.lr,val/loss" });
  const filter = "status:done and lr<0.05";
  await strict.getByRole("searchbox").fill(filter);
  const query = new URLSearchParams({ filter, sort: "val/loss" }).toString();
  const answer = (await (await fetch(`${address}/api/v1/runs/${TRAINED}/experiments?${query}`)).json()) as { rows: { experiment_id: number }[] };
  const wanted = answer.rows.map((row) => String(row.experiment_id));
  expect(wanted.length).toBeGreaterThan(0);
  expect(wanted.length).toBeLessThan(6);
  await strict.getByRole("button", { name: "val/loss best" }).click();
  await expect.poll(async () => Object.keys(await cellsOf(strict)).sort()).toEqual([...wanted].sort());
  const shown = await strict.locator('[role="row"][data-kind="experiment"] [role="gridcell"]:first-child').allTextContents();
  expect(shown.map((text) => text.trim())).toEqual(wanted);
  // The view is in the address: it survives loading the page anew.
  await strict.reload();
  await expect(strict.getByRole("searchbox")).toHaveValue(filter);
  await expect.poll(async () => Object.keys(await cellsOf(strict)).length).toBe(wanted.length);
  await strict.getByRole("button", { name: "Select these" }).click();
  await expect(strict.getByRole("region", { name: "Selected experiments" }).getByRole("listitem")).toHaveCount(wanted.length);
});

test("a filter that is not understood says why and hides nothing", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED, filter: "statsu:done" });
  await expect(strict.getByRole("alert")).toContainText("did you mean `status`?");
  await expect(strict.getByRole("grid", { name: "Experiments" }).getByRole("row")).toHaveCount(7);
});

test("groups show mean, spread and count", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED, group: "optimizer.lr", filter: "status:done" });
  const group = strict.locator('[data-kind="group"]').first();
  await expect(group).toContainText("2×");
  await expect(group).toContainText("±");
  await group.click();
  await expect(strict.locator('[data-kind="experiment"]')).toHaveCount(2);
});

test("a failed row unfolds to its stack trace, with those that are alike", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED });
  await expect(strict.getByRole("button", { name: /2 failed/ })).toBeVisible();
  await strict.getByRole("button", { name: /2 failed/ }).click();
  await expect(strict.locator("pre").first()).toContainText("Error");
  await strict.getByRole("button", { name: /1 alike/ }).click();
  await expect.poll(async () => Object.keys(await cellsOf(strict)).length).toBe(2);
});

test("what is brushed over the parameters is selected on every page", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED, page: "parameters" });
  const axis = strict.locator('[data-axis="model.hidden"]');
  const box = await axis.boundingBox();
  if (box === null) throw new Error("the axis is not there");
  const x = box.x + box.width / 2;
  await strict.mouse.move(x, box.y + 2);
  await strict.mouse.down();
  await strict.mouse.move(x, box.y + box.height / 3, { steps: 4 });
  await strict.mouse.up();
  const chips = strict.getByRole("region", { name: "Selected experiments" });
  await expect(chips.getByRole("listitem")).toHaveCount(3);
  // The same by keys alone.
  await axis.press("Escape");
  await expect(chips).toBeHidden();
  await axis.press("ArrowDown");
  await expect(chips.getByRole("listitem")).toHaveCount(3);
  await strict.getByRole("button", { name: "Flow" }).click();
  await strict.getByRole("button", { name: "Only selected" }).click();
  await expect.poll(async () => Object.keys(await cellsOf(strict)).length).toBe(3);
});

test("time travel shows what the log cut there says", async ({ strict, address }) => {
  const at = linesOf(CUT).length;
  expect(at).toBeLessThan(linesOf(TRAINED).length);
  // The same columns in both: what they are at first depends on whether the run goes on.
  const cols = "experiment_id,status,progress,model.hidden,optimizer.lr,val/f1_macro,val/loss,latest:val/loss,duration_s,device";
  await open(strict, address, { run_id: CUT, cols });
  await expect(strict.getByRole("grid", { name: "Experiments" })).toBeVisible();
  const cut = await cellsOf(strict);
  await open(strict, address, { run_id: TRAINED, at: String(at), cols });
  await expect(strict.getByRole("region", { name: "Time travel" })).toContainText(`event ${at}`);
  await expect(strict.getByRole("grid", { name: "Experiments" })).toBeVisible();
  const then = await cellsOf(strict);
  // Of a log that nobody writes any more what was running counts as interrupted; everything else is the same.
  const same = (cells: typeof cut): unknown => Object.entries(cells).map(([id, cell]) => [id, without(cell, ["state", "progress"])]);
  expect(same(then)).toEqual(same(cut));
  await strict.getByRole("button", { name: "To the end" }).click();
  await expect.poll(async () => Object.values(await cellsOf(strict)).filter(({ state }) => state === "done").length).toBe(4);
});

test("time travel holds on every page", async ({ strict, address }) => {
  test.setTimeout(120_000);
  const at = String(linesOf(CUT).length);
  const pages = [
    { page: "experiment", experiment: "0", within: () => strict.locator("table").first() },
    { page: "experiment", experiment: "0", part: "checkpoints", within: () => strict.getByRole("tabpanel") },
    { page: "experiment", experiment: "0", part: "card", within: () => strict.getByRole("article").locator("table") },
    { page: "parameters", within: () => strict.getByRole("main") },
    { page: "analysis", within: () => strict.getByRole("article").first().getByRole("heading") },
  ] as const;
  for (const { within, ...view } of pages) {
    await open(strict, address, { run_id: CUT, ...view });
    await strict.waitForLoadState("networkidle");
    const cut = await within().innerText();
    await open(strict, address, { run_id: TRAINED, at, ...view });
    await strict.waitForLoadState("networkidle");
    await expect(within()).toHaveText(cut, { useInnerText: true });
    expect(cut.length, JSON.stringify(view)).toBeGreaterThan(5);
  }
});

test("the components of an experiment stand in a picture and in a list", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED, page: "experiment", experiment: "0" });
  const graph = strict.getByRole("group", { name: "Component graph" });
  await strict.getByText("as a list").click();
  await expect(strict.getByRole("listitem").filter({ hasText: /^optimizer/ })).toHaveText("optimizer fragile_sgd needs model");
  await strict.getByRole("button", { name: "optimizer", exact: true }).click();
  await expect(graph.locator('[data-marked="true"][data-from="model"][data-to="optimizer"]')).toHaveCount(1);
  await expect(graph.locator('[data-component="optimizer"]')).toBeInViewport();
});

test.describe("where there is nothing", () => {
  test.use({ mayBeRefused: true });

  test("a run is played from before its first experiment, and a link to after its last event opens the end", async ({ strict, address }) => {
    await open(strict, address, { run_id: TRAINED, page: "experiment", experiment: "0" });
    await expect(strict.getByRole("heading", { name: "Experiment 0" })).toBeVisible();
    await strict.getByRole("button", { name: "To the first event" }).click();
    await expect(strict.getByRole("main")).toContainText("No experiment 0 yet");
    await expect(strict.getByRole("alert")).toHaveCount(0);
    await strict.getByRole("button", { name: "Play the run" }).click();
    await expect(strict.getByRole("heading", { name: "Experiment 0" })).toBeVisible();
    await open(strict, address, { run_id: TRAINED, at: "999999" });
    await expect(strict.getByRole("grid", { name: "Experiments" }).getByRole("row")).toHaveCount(7);
    await expect.poll(() => new URL(strict.url()).searchParams.get("at")).toBeNull();
  });
});

test("a run plays on from where it is", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED, at: "2" });
  await strict.getByRole("button", { name: "Play the run" }).click();
  await expect.poll(() => Number(new URL(strict.url()).searchParams.get("at"))).toBeGreaterThan(10);
  await strict.getByRole("button", { name: "Pause" }).click();
});

test("a run that goes on is played, too", async ({ strict, address }) => {
  const log = join(storage(), "growing", "event_storage.log");
  cpSync(join(storage(), OLD), dirname(log), { recursive: true });
  const lines = readFileSync(log, "utf8").replaceAll(OLD, "growing");
  writeFileSync(log, lines);
  await open(strict, address, { run_id: "growing", at: "1" });
  await expect(strict.getByRole("region", { name: "Time travel" })).toContainText("event 1 of");
  // Events come until it was seen that they stop nothing.
  const growth = setInterval(() => appendFileSync(log, `${lines.trim().split("\n").at(-2) ?? ""}\n`), 50);
  try {
    await strict.getByRole("button", { name: "Play the run" }).click();
    await expect.poll(() => Number(new URL(strict.url()).searchParams.get("at"))).toBeGreaterThan(3);
  } finally {
    clearInterval(growth);
  }
});

test("charts are drawn, zoomed, and select what is clicked", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED, page: "analysis" });
  const chart = strict.getByRole("img", { name: /^val\/loss over epoch/ });
  await expect(chart).toBeVisible();
  const plot = chart.locator(".u-over");
  await plot.scrollIntoViewIfNeeded();
  const box = await plot.boundingBox();
  if (box === null) throw new Error("the plot is not there");
  await strict.mouse.move(box.x + box.width * 0.3, box.y + 40);
  await strict.mouse.down();
  await strict.mouse.move(box.x + box.width * 0.8, box.y + 60, { steps: 5 });
  await strict.mouse.up();
  await expect(strict.getByRole("button", { name: "Whole range" })).toBeVisible();
  await plot.dblclick();
  await expect(strict.getByRole("button", { name: "Whole range" })).toBeHidden();
});

test("a page that is first opened while the hub is away is there when it is back", async ({ page, context }) => {
  let board = await startBoard(storage());
  const list = await context.newPage();
  const away = list.getByText(/does not answer.*This is how things stood at/);
  try {
    await open(list, board.address, { page: "runs" });
    await expect(list.getByRole("grid", { name: "Runs" })).toBeVisible();
    await page.bringToFront();
    await open(page, board.address, { run_id: TRAINED, page: "settings" });
    await expect(page.getByText(/^connected,/)).toBeVisible();
    await board.stop();
    await page.getByRole("button", { name: "Validation" }).click();
    await expect(page.getByRole("alert")).toContainText("could not be read");
    await list.bringToFront();
    await expect(away).toBeVisible();
    board = await startBoard(storage(), board.port);
    await page.bringToFront();
    await expect(page.getByRole("heading", { name: "grid search" })).toBeVisible({ timeout: 30_000 });
    await list.bringToFront();
    await expect(away).toBeHidden();
  } finally {
    await board.stop();
  }
});

test("an old run folder opens", async ({ strict, address }) => {
  await open(strict, address, { run_id: OLD });
  await expect.poll(async () => Object.values(await cellsOf(strict)).map(({ state }) => state)).toEqual(["done", "failed"]);
  await open(strict, address, { run_id: OLD, page: "analysis" });
  await expect(strict.getByRole("heading", { name: "val/F1_SCORE_macro" })).toBeVisible();
});

test("a run is named, tagged, deleted and restored", async ({ strict, address }) => {
  await open(strict, address, { page: "runs" });
  await strict.getByRole("button", { name: `Name, tags and notes of run ${CUT}` }).click();
  await strict.getByRole("textbox", { name: "Name" }).fill("half of it");
  await strict.getByRole("textbox", { name: "Tags" }).fill("cut, half");
  await strict.getByRole("button", { name: "Save" }).click();
  await expect(strict.getByRole("grid", { name: "Runs" })).toContainText("half of it");
  await strict.getByRole("button", { name: "half", exact: true }).click();
  await expect(strict.getByRole("grid", { name: "Runs" }).getByRole("row")).toHaveCount(2);
  await strict.getByRole("button", { name: `Name, tags and notes of run ${CUT}` }).click();
  await strict.getByRole("button", { name: "Delete this run" }).click();
  await strict.getByRole("button", { name: "Yes, to the trash" }).click();
  await open(strict, address, { page: "runs", trash: "1" });
  await strict.getByRole("button", { name: `Restore run ${CUT}` }).click();
  await open(strict, address, { page: "runs" });
  await expect(strict.getByRole("grid", { name: "Runs" })).toContainText(CUT);
});

test("on a phone, runs are compared, named and deleted, by keyboard as well", async ({ strict, address }) => {
  await strict.setViewportSize({ width: 390, height: 844 });
  await open(strict, address, { page: "runs" });
  const list = strict.getByRole("list", { name: "Runs" });
  for (const run of [TRAINED, OLD]) await list.getByRole("checkbox", { name: `Choose run ${run}`, exact: true }).check();
  await strict.getByRole("button", { name: "Compare" }).click();
  await expect(strict.getByRole("dialog", { name: "2 runs" }).getByRole("row", { name: /^experiments/ })).toContainText("4 of 6, 2 failed");
  // A digit goes to a page, but not from above it.
  await strict.keyboard.press("2");
  await expect(strict.getByRole("dialog", { name: "2 runs" })).toBeVisible();
  await strict.keyboard.press("Escape");

  const more = list.getByRole("button", { name: `What to do with run ${CUT}` });
  await more.press("Enter");
  await strict.getByRole("dialog").getByRole("button", { name: "Name, tags and notes" }).press("Enter");
  await strict.getByRole("textbox", { name: "Name" }).fill("named on a phone");
  await strict.keyboard.press("Enter");
  await expect(list).toContainText("named on a phone");
  await expect(more).toBeFocused();

  await more.press("Enter");
  await strict.getByRole("button", { name: "Delete", exact: true }).press("Enter");
  await expect(strict.getByRole("button", { name: "Yes, to the trash" })).toBeFocused();
  await strict.keyboard.press("Enter");
  await expect(more).toBeHidden();
  await strict.getByRole("button", { name: "Trash", exact: true }).click();
  await more.click();
  await strict.getByRole("button", { name: "Restore" }).click();
  await expect(strict.getByRole("heading", { name: "The trash is empty" })).toBeVisible();
});

test("a table is found as it was left, whatever was looked at meanwhile", async ({ strict, address }) => {
  await strict.setViewportSize({ width: 1280, height: 310 });
  await open(strict, address, { run_id: TRAINED, sort: "optimizer.lr" });
  const grid = strict.getByRole("grid", { name: "Experiments" });
  await expect(grid).toBeVisible();
  const top = (): Promise<number> => grid.evaluate((element) => element.scrollTop);
  await expect.poll(() => grid.evaluate((element) => ((element.scrollTop = 40), element.scrollTop))).toBe(40);
  // One that is in sight as it is: nothing has to be scrolled for the click.
  await grid.getByRole("row").nth(3).click({ position: { x: 300, y: 16 } });
  await expect(strict.getByRole("heading", { name: /^Experiment \d/ })).toBeVisible();
  await strict.goBack();
  await expect.poll(top).toBe(40);
  // The order of experiments is none of runs.
  await strict.getByRole("button", { name: "Runs", exact: true }).click();
  await expect(strict.getByRole("grid", { name: "Runs" })).toContainText(TRAINED);
  await strict.getByRole("button", { name: "Flow" }).click();
  await expect(grid.getByRole("columnheader", { name: "lr" })).toHaveAttribute("aria-sort", "ascending");
});

test("the palette goes to an experiment by its number", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED });
  await expect(strict.getByRole("grid", { name: "Experiments" })).toBeVisible();
  await strict.keyboard.press("Control+k");
  await strict.getByRole("combobox", { name: "Go to" }).fill("4");
  await strict.keyboard.press("Enter");
  await expect(strict.getByRole("heading", { name: "Experiment 4" })).toBeVisible();
});

test("keys go to pages and to the search", async ({ strict, address }) => {
  await open(strict, address, { run_id: TRAINED });
  await expect(strict.getByRole("grid", { name: "Experiments" })).toBeVisible();
  await strict.keyboard.press("/");
  await expect(strict.getByRole("searchbox")).toBeFocused();
  await strict.keyboard.type("3");
  await expect(strict.getByRole("searchbox")).toHaveValue("3");
  await strict.locator("main").focus();
  await strict.keyboard.press("5");
  await expect(strict.getByRole("heading", { name: "grid search" })).toBeVisible();
  await strict.keyboard.press("1");
  await expect(strict.getByRole("grid", { name: "Runs" })).toBeVisible();
});

test("two runs are compared, with what was different", async ({ strict, address }) => {
  await open(strict, address, { page: "runs" });
  for (const run of [TRAINED, OLD]) await strict.getByRole("checkbox", { name: `Choose run ${run}`, exact: true }).check();
  await strict.getByRole("button", { name: "Compare" }).click();
  const table = strict.getByRole("dialog", { name: "2 runs" }).getByRole("table");
  await expect(table.getByRole("columnheader").filter({ hasText: TRAINED })).toBeVisible();
  await expect(table.getByRole("row", { name: /^experiments/ })).toContainText("4 of 6, 2 failed");
  await expect(table).toContainText("Config of the best experiment, where it differs");
  await expect(table.getByRole("row", { name: /experiment/ }).last()).toBeVisible();
});

test("what came of running it again stands beside runs, experiments and claims", async ({ strict, address }) => {
  await open(strict, address, { page: "runs" });
  const rows = strict.getByRole("grid", { name: "Runs" }).getByRole("row");
  await expect(rows.filter({ has: strict.getByRole("checkbox", { name: `Choose run ${TRAINED}`, exact: true }) })).toContainText("identical");
  await expect(rows.filter({ has: strict.getByRole("checkbox", { name: `Choose run ${OLD}`, exact: true }) })).toContainText("not tried");
  await expect(rows.filter({ hasText: `repeats ${TRAINED}` })).toContainText("1/1");
  await open(strict, address, { run_id: TRAINED, page: "experiment", experiment: String(REPRODUCED) });
  await expect(strict.getByRole("main")).toContainText(`mlgym reproduce ${TRAINED} --experiment ${REPRODUCED}`);
  await expect(strict.getByRole("main")).toContainText(/identical\s*compared\s*\d+ digests/);
  await open(strict, address, { run_id: TRAINED, page: "validation" });
  await expect(strict.getByRole("main")).toContainText(`experiment ${REPRODUCED} reproduced: identical`);
});
