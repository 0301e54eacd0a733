import { expect, it } from "vitest";
import { compareValues, type Value } from "./rowValues";

it("numbers stand before texts in one order, whatever stood where before", () => {
  const wanted: Value[] = [-3, 1e-7, 0.1, 10, "[8]", "[16]", "[16, 16]", "0.5x", "auto", true, Number.NaN, null];
  for (let turn = 0; turn < wanted.length; turn += 1) {
    const turned = [...wanted.slice(turn), ...wanted.slice(0, turn)];
    expect([...turned].sort((a, b) => compareValues(a, b, false))).toEqual(wanted);
    // What is missing comes last in either direction.
    expect([...turned].sort((a, b) => compareValues(a, b, true))).toEqual([...wanted.slice(0, -2).reverse(), Number.NaN, null]);
  }
});
