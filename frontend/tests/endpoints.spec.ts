// Another origin is contacted when whoever started the board named it, or the user said so; never before.
import type { Page } from "@playwright/test";
import { startBoard, type Service } from "./setup/services";
import { storage, TRAINED } from "./setup/storage";
import { expect, test } from "./setup/test";

/** Gives a function that tells how often somebody was asked or connected to. */
function contacts(page: Page, to: string): () => number {
  const { host } = new URL(to);
  let count = 0;
  page.on("request", (request) => (count += Number(new URL(request.url()).host === host)));
  page.on("websocket", (socket) => (count += Number(new URL(socket.url()).host === host)));
  return () => count;
}

const link = (board: string, services: string): string => `${board}/?${new URLSearchParams({ rest_endpoint: services, ws_endpoint: services, run_id: TRAINED }).toString()}`;

test.describe("of two origins", () => {
  let other: Service;
  test.beforeAll(async ({ board }) => {
    other = await startBoard(storage(), undefined, "--origin", board.address);
  });
  test.afterAll(async () => other.stop());

  test("the other is asked after the user allowed it, which is remembered and can be taken back", async ({ strict, address }) => {
    test.setTimeout(120_000);
    const asked = contacts(strict, other.address);
    const dialog = strict.getByRole("dialog", { name: "May this board read from another server?" });
    await strict.goto(link(address, other.address));
    await expect(dialog).toContainText(other.address);
    await dialog.getByRole("button", { name: "Deny" }).click();
    await expect(strict.getByRole("alert")).toContainText("not asked");
    await strict.reload();
    await expect(strict.getByRole("alert")).toContainText(other.address);
    await expect(dialog).toBeHidden();
    expect(asked()).toBe(0);

    await strict.getByRole("button", { name: "Ask me again" }).click();
    await expect(dialog).toBeVisible();
    expect(asked()).toBe(0);
    await dialog.getByRole("button", { name: `Allow ${other.address}` }).click();
    const rows = strict.getByRole("grid", { name: "Experiments" }).getByRole("row");
    await expect(rows).toHaveCount(7);
    expect(asked()).toBeGreaterThan(0);
    // The socket lives in a worker, which has the policy of its own file.
    await strict.getByRole("button", { name: "Settings" }).click();
    await expect(strict.getByText(/^connected,/)).toBeVisible();

    await strict.goto(link(address, other.address));
    await expect(rows).toHaveCount(7);
    await strict.getByRole("button", { name: "Settings" }).click();
    await strict.getByRole("list", { name: "Other servers" }).getByRole("button", { name: "Forget" }).click();
    await strict.goto(link(address, other.address));
    await expect(dialog).toBeVisible();
  });

  test("the browser holds a page to what the user said, whatever its scripts do", async ({ page, address }) => {
    const reached = (): Promise<boolean> => page.evaluate(async (to) => fetch(`${to}/api/v1/version`).then(() => true, () => false), other.address);
    await page.goto(link(address, other.address));
    await page.getByRole("button", { name: /^Allow/ }).waitFor();
    expect(await reached()).toBe(false);
    await page.getByRole("button", { name: /^Allow/ }).click();
    await expect(page.getByRole("grid", { name: "Experiments" })).toBeVisible();
    expect(await reached()).toBe(true);
  });

  test("Escape decides nothing, and nothing is sent", async ({ strict, address }) => {
    const asked = contacts(strict, other.address);
    await strict.goto(link(address, other.address));
    await strict.getByRole("dialog").waitFor();
    await strict.keyboard.press("Escape");
    await expect(strict.getByRole("alert")).toContainText("not asked");
    await strict.reload();
    await expect(strict.getByRole("dialog")).toBeVisible();
    expect(asked()).toBe(0);
  });
});
