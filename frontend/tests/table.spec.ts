// The table of experiments under one's hands: widths, the pointer, the keyboard.
import { appendFileSync, cpSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DeltaFold } from "../src/lib/live/fold";
import { decidingOf, ranked } from "../src/lib/live/rank";
import { tableAfter } from "../src/lib/live/table";
import type { ExperimentTable, RunDetail } from "../src/types/api";
import type { HubEvent } from "../src/types/events";
import { linesOf, OLD, storage, TRAINED } from "./setup/storage";
import { expect, open, test } from "./setup/test";

test("state, reason, parameters, deciding metric, curve and time are in sight, and other columns a click away", async ({ strict, address }) => {
  const grid = strict.getByRole("grid", { name: "Experiments" });
  const inSight = async (names: readonly (string | RegExp)[]): Promise<void> => {
    for (const name of names) await expect(grid.getByRole("columnheader", { name, exact: true })).toBeInViewport({ ratio: 1 });
  };
  for (const width of [1440, 1280, 1024]) {
    await strict.setViewportSize({ width, height: 800 });
    await open(strict, address, { run_id: TRAINED });
    await inSight(["state", "what happened", "progress", "hidden", "lr", /^val\/f1_macro best$/, "val/f1_macro", "time"]);
    await expect(strict.getByRole("button", { name: /^\d+ more$/ })).toBeHidden();
  }
  await expect(grid.getByRole("row", { name: /failed/ }).first()).toContainText("failedRuntimeError: a step of 1.0 is too large");
  await open(strict, address, { run_id: TRAINED, cols: "status,error,progress,curve,decision,device,started_at,duration_s,train/loss,test/loss" });
  await strict.getByRole("button", { name: /^\d+ more$/ }).click();
  await inSight(["state", /^test\/loss best$/]);
  await expect(strict.getByRole("button", { name: /^\d+ more$/ })).toBeHidden();
});

test("rows stay where they are while the pointer is among them, and once it has left are where they belong", async ({ strict, address }) => {
  const log = join(storage(), "overtaken", "event_storage.log");
  cpSync(join(storage(), OLD), dirname(log), { recursive: true });
  const lines = readFileSync(log, "utf8").replaceAll(OLD, "overtaken").trim().split("\n");
  writeFileSync(log, `${lines.join("\n")}\n`);
  await open(strict, address, { run_id: "overtaken", sort: "-val/F1_SCORE_macro" });
  const order = async (): Promise<string[]> => strict.locator('[data-kind="experiment"] [role="gridcell"]:first-child').allTextContents();
  await expect.poll(order).toEqual(["1", "0"]);
  const grid = strict.getByRole("grid", { name: "Experiments" });
  await grid.hover();
  const evaluation = lines.find((line) => line.includes("evaluation_result") && line.includes('"experiment_id":0')) ?? "";
  appendFileSync(log, `${evaluation.replace(/"score":[\d.]+/, '"score":0.99')}\n`);
  const updates = strict.getByRole("button", { name: "2 updates" });
  await expect(updates).toBeVisible();
  expect(await order()).toEqual(["1", "0"]);
  await strict.getByRole("searchbox", { name: "Filter experiments" }).hover();
  await expect.poll(order).toEqual(["0", "1"]);
  await grid.hover();
  await expect(updates).toBeHidden();
  expect(await order()).toEqual(["0", "1"]);
});

test("the table is used by keyboard alone", async ({ strict, address }) => {
  // So low that not all rows are in sight.
  await strict.setViewportSize({ width: 1280, height: 380 });
  await open(strict, address, { run_id: TRAINED });
  const grid = strict.getByRole("grid", { name: "Experiments" });
  await expect(grid.getByRole("row")).not.toHaveCount(1);
  await grid.focus();
  for (const key of ["End", "Home", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown"]) {
    await strict.keyboard.press(key);
    await expect(grid.locator('[data-active="true"]')).toBeInViewport({ ratio: 1 });
  }
  // What happened to one that failed is unfolded and folded.
  const trace = grid.locator("pre").first();
  await strict.getByRole("searchbox", { name: "Filter experiments" }).fill("status:failed");
  await expect(grid.locator('[data-kind="experiment"]')).toHaveCount(2);
  await grid.focus();
  await strict.keyboard.press("Home");
  await strict.keyboard.press("ArrowRight");
  await expect(trace).toBeVisible();
  await strict.keyboard.press("ArrowLeft");
  await expect(trace).toBeHidden();
  await strict.getByRole("searchbox", { name: "Filter experiments" }).fill("");
  await expect(grid.locator('[data-kind="experiment"]')).not.toHaveCount(2);
  await grid.focus();
  await strict.keyboard.press("Home");
  for (const key of ["ArrowDown", "ArrowDown", "Space"]) await strict.keyboard.press(key);
  await expect(strict.getByRole("region", { name: "Selected experiments" })).toContainText("2");
  await strict.keyboard.press("Enter");
  await expect(strict.getByRole("heading", { name: "Experiment 2" })).toBeVisible();
});

test("what comes live makes of a table what the hub says at the end", async ({ address }) => {
  const hub = async <T>(rest: string): Promise<T> => (await fetch(`${address}/api/v1/runs/${TRAINED}${rest}`)).json() as Promise<T>;
  const [detail, end] = [await hub<RunDetail>(""), await hub<ExperimentTable>("/experiments")];
  const events = linesOf(TRAINED).map((line, event_id) => ({ event_id, data: JSON.parse(line) as HubEvent }));
  for (const [from, size] of [[2, 1], [20, 7], [60, 1000]] as const) {
    let table = { ...(await hub<ExperimentTable>(`/experiments?at=${from}`)), columns: end.columns };
    const fold = new DeltaFold(TRAINED, from);
    for (let next = from; next < events.length; next += size) {
      for (const event of events.slice(next, next + size)) fold.add(event);
      const [delta, deciding] = [fold.take(), decidingOf(detail, table)];
      if (delta !== null) table = tableAfter(table, delta);
      if (deciding !== null) table = { ...table, rows: ranked(table.rows, deciding) };
    }
    expect(table.rows).toEqual(end.rows.map((row) => ({ ...row, duration_s: closeTo(row.duration_s), earlier_s: closeTo(row.earlier_s), progress: row.progress === null ? null : { ...row.progress, fraction: closeTo(row.progress.fraction) } })));
  }
});

/** Times are summed up in another order. */
const closeTo = (number: number | null): unknown => (number === null ? null : expect.closeTo(number, 5));
