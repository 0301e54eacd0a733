import { defineConfig } from "@playwright/test";

// Debian's Chromium: what Playwright would download is not to be had everywhere.
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

export default defineConfig({
  testDir: "tests",
  outputDir: "test-results",
  fullyParallel: false,
  workers: 1,
  retries: 0,
  timeout: 120_000,
  // Long: two cores may be shared with who knows what, and only a failure waits this long.
  expect: { timeout: 30_000 },
  reporter: process.env.CI === undefined ? "list" : "line",
  globalSetup: "./tests/setup/storage.ts",
  use: {
    viewport: { width: 1280, height: 800 },
    launchOptions: {
      executablePath,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    },
    trace: "retain-on-failure",
  },
});
