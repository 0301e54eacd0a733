import { describe, expect, it } from "vitest";
import { formatIds, parseIds } from "./ids";

describe("sets of experiments in the address", () => {
  it("come back as they were, in their order", () => {
    for (const ids of [[], [3], [7, 3], [0, 1, 2, 3], [9, 0, 1, 2, 5, 6, 8]]) expect(parseIds(formatIds(ids))).toEqual(ids);
  });

  it("are short for hundreds of neighbours", () => {
    expect(formatIds(Array.from({ length: 500 }, (_, id) => id))).toBe("0-499");
  });

  it("pass over what is no number, and never grow without bound", () => {
    expect(parseIds("x,1,-3,2-,<b>")).toEqual([1]);
    expect(parseIds("0-999999999").length).toBe(100_000);
  });
});
