// A browser that fails the test when the page does what it must not: errors, dialogs, breaches of the security policy.
import { test as base, expect, type Page } from "@playwright/test";
import { startBoard, type Service } from "./services";
import { storage } from "./storage";

interface Fixtures {
  readonly address: string;
  readonly strict: Page;
  /** Whether the hub may refuse what the page asks, as it does with names that cannot be. */
  readonly mayBeRefused: boolean;
}

export const test = base.extend<Fixtures, { readonly board: Service }>({
  board: [
    async ({}, use) => {
      const board = await startBoard(storage());
      await use(board);
      await board.stop();
    },
    { scope: "worker" },
  ],
  address: async ({ board }, use) => use(board.address),
  mayBeRefused: [false, { option: true }],
  strict: async ({ page, mayBeRefused }, use) => {
    const wrong: string[] = [];
    page.on("dialog", (dialog) => {
      wrong.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
    page.on("console", (message) => message.type() === "error" && !(mayBeRefused && /status of 4\d\d/.test(message.text())) && wrong.push(`console: ${message.text()}`));
    await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
    await use(page);
    expect(wrong).toEqual([]);
  },
});

export { expect };

/** Gives cells but for some columns. */
export function without(cell: Readonly<Record<string, string>>, columns: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(cell).filter(([column]) => !columns.includes(column)));
}

/** Opens a page of a run and waits until something of it stands there. */
export async function open(page: Page, address: string, parameters: Readonly<Record<string, string>>): Promise<void> {
  await page.goto(`${address}/?${new URLSearchParams(parameters).toString()}`);
  await page.locator("main").waitFor();
}

/** Gives the cells of a grid by experiment and column title. */
export async function cellsOf(page: Page): Promise<Record<string, Record<string, string>>> {
  return page.getByRole("grid").evaluate((grid) => {
    const titles = [...grid.querySelectorAll('[role="columnheader"]')].map((cell) => cell.textContent.trim());
    const rows = [...grid.querySelectorAll('[role="row"][data-kind="experiment"]')];
    return Object.fromEntries(rows.map((row) => {
      const texts = [...row.querySelectorAll('[role="gridcell"]')].map((cell) => cell.textContent.trim());
      return [texts[0] ?? "", Object.fromEntries(titles.map((title, i) => [title, texts[i] ?? ""]))];
    })); // prettier-ignore
  });
}
