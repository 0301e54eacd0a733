import { expect, it } from "vitest";
import { gravityOf } from "./levels";

it("levels have one order under all their names, and what is none counts as info", () => {
  expect(["debug", "INFO", "notice", "warn", "warning", "error", "FATAL"].map(gravityOf)).toEqual([0, 1, 1, 2, 2, 3, 4]);
});
