// How it looks to everybody: both schemes, a phone, people who do not see well, texts that mean harm, a slow line.
import AxeBuilder from "@axe-core/playwright";
import { gzipSync } from "node:zlib";
import { CORPUS, HOSTILE } from "./setup/events";
import { CUT, TRAINED } from "./setup/storage";
import { expect, open, test } from "./setup/test";

const VIEWS = [
  { page: "runs" },
  { page: "flow", run_id: TRAINED, sel: "0,1", open: "2" },
  { page: "analysis", run_id: TRAINED, sel: "0,3" },
  { page: "parameters", run_id: TRAINED },
  { page: "validation", run_id: TRAINED },
  ...["overview", "curves", "config", "checkpoints", "files", "logs", "system", "card"].map((part) => ({ page: "experiment", run_id: TRAINED, experiment: "0", part })),
  { page: "settings", run_id: TRAINED },
] as const;

const nameOf = (view: (typeof VIEWS)[number]): string => ("part" in view ? `${view.page} (${view.part})` : view.page);

for (const [scheme, where, width] of [["light", "on a screen", 1280], ["dark", "on a phone", 390]] as const) {
  test(`every page keeps WCAG AA in ${scheme} colours ${where}`, async ({ strict, address }) => {
    test.setTimeout(180_000);
    await strict.emulateMedia({ colorScheme: scheme });
    await strict.setViewportSize({ width, height: 844 });
    for (const view of VIEWS) {
      await open(strict, address, view);
      await strict.waitForLoadState("networkidle");
      const { violations } = await new AxeBuilder({ page: strict }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]).analyze();
      expect(violations.map(({ id, nodes }) => `${nameOf(view)}: ${id} at ${nodes.map(({ target }) => target.join(" ")).join("; ")}`)).toEqual([]);
    }
  });
}

test("what opens above a page keeps WCAG AA, takes the focus, and closes with Escape", async ({ strict, address }) => {
  test.setTimeout(120_000);
  const views = [
    { at: { run_id: TRAINED }, open: () => strict.keyboard.press("Control+k"), shown: () => strict.getByRole("dialog", { name: "Go to" }) },
    { at: { run_id: TRAINED }, open: () => strict.getByRole("button", { name: "Columns" }).click(), shown: () => strict.getByRole("dialog", { name: "Columns" }) },
    { at: { run_id: TRAINED }, open: () => strict.getByRole("button", { name: "Group" }).click(), shown: () => strict.getByRole("dialog", { name: "Group" }) },
    { at: { page: "runs" }, open: () => strict.getByRole("button", { name: `Name, tags and notes of run ${TRAINED}` }).click(), shown: () => strict.getByRole("dialog", { name: `Run ${TRAINED}` }) },
    { at: { page: "runs", runs: `${TRAINED},${CUT}` }, open: () => strict.getByRole("button", { name: "Compare" }).click(), shown: () => strict.getByRole("dialog", { name: "2 runs" }) },
    { at: { page: "runs", search: TRAINED }, width: 390, open: () => strict.getByRole("button", { name: `What to do with run ${TRAINED}` }).click(), shown: () => strict.getByRole("dialog", { name: "digits-for-tests" }) },
    { at: { page: "runs", runs: `${TRAINED},${CUT}` }, width: 390, open: () => strict.getByRole("button", { name: "Compare" }).click(), shown: () => strict.getByRole("dialog", { name: "2 runs" }) },
  ]; // prettier-ignore
  for (const { at, width = 1280, open: act, shown } of views) {
    await strict.setViewportSize({ width, height: 800 });
    await open(strict, address, at);
    await strict.waitForLoadState("networkidle");
    await act();
    await expect(shown()).toBeVisible();
    await expect.poll(() => shown().evaluate((dialog) => dialog.contains(document.activeElement))).toBe(true);
    const { violations } = await new AxeBuilder({ page: strict }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]).analyze();
    expect(violations.map(({ id, nodes }) => `${id} at ${nodes.map(({ target }) => target.join(" ")).join("; ")}`)).toEqual([]);
    await strict.keyboard.press("Escape");
    await expect(shown()).toBeHidden();
  }
});

test("every page fits a phone", async ({ strict, address }) => {
  test.setTimeout(120_000);
  await strict.setViewportSize({ width: 390, height: 844 });
  for (const view of VIEWS) {
    await open(strict, address, view);
    await strict.waitForLoadState("networkidle");
    const wide = await strict.evaluate(() => document.documentElement.scrollWidth);
    expect(wide, nameOf(view)).toBeLessThanOrEqual(390);
    await expect(strict.getByRole("navigation", { name: "Pages" })).toBeInViewport();
  }
});

test("hostile texts stay texts in every field", async ({ strict, address }) => {
  test.setTimeout(180_000);
  const pages = [{ page: "flow", open: CORPUS.map((_, id) => id).join(",") }, { page: "analysis" }, { page: "parameters" }, { page: "validation" }];
  for (const view of pages) {
    await open(strict, address, { run_id: HOSTILE, ...view });
    await strict.waitForLoadState("networkidle");
  }
  for (const part of ["overview", "curves", "config", "checkpoints", "logs", "system", "card"]) {
    for (const experiment of ["0", "1", "6"]) {
      await open(strict, address, { run_id: HOSTILE, page: "experiment", experiment, part });
      await strict.waitForLoadState("networkidle");
    }
  }
  // Nothing of the corpus became an element.
  await open(strict, address, { run_id: HOSTILE });
  await expect(strict.getByRole("banner")).toContainText("<script>alert(1)</script>");
  expect(await strict.locator("img[src='x'], iframe, svg[onload], script:not([src])").count()).toBe(0);
});

test.describe("in the address", () => {
  test.use({ mayBeRefused: true });

  test("hostile texts stay texts", async ({ strict, address }) => {
    for (const text of CORPUS) {
      await open(strict, address, { page: "runs", search: text, tag: text });
      await open(strict, address, { run_id: text, page: "flow", filter: text, sel: text, sort: text, group: text, cols: text });
      await expect(strict.getByRole("alert")).toBeVisible();
    }
  });
});

test("the first load is at most 250 kB", async ({ strict, address }) => {
  let bytes = 0;
  strict.on("response", (answer) => {
    if (/\.(js|css|html|svg)$|\/\?/.test(answer.url())) void answer.body().then((body) => (bytes += gzipSync(body).length));
  });
  await open(strict, address, { run_id: TRAINED });
  await strict.waitForLoadState("networkidle");
  expect(bytes).toBeGreaterThan(50_000);
  expect(bytes).toBeLessThan(250_000);
});
