import { expect, it } from "vitest";
import { compareValues, type Value } from "./rowValues";

it("numbers stand before texts in one order, whatever stood where before", () => {
  const wanted: Value[] = [-3, 1e-7, 0.1, 10, "[8]", "[16]", "[16, 16]", "0.5x", "auto", true, Number.NaN, -Infinity, Infinity, null];
  for (let turn = 0; turn < wanted.length; turn += 1) {
    const turned = [...wanted.slice(turn), ...wanted.slice(0, turn)];
    const [up, down] = [false, true].map((isDescending) => [...turned].sort((a, b) => compareValues(a, b, isDescending)));
    expect([up?.slice(0, -4), down?.slice(0, -4)]).toEqual([wanted.slice(0, -4), wanted.slice(0, -4).reverse()]);
    // What is not finite, and then what is missing, comes last in either direction.
    for (const order of [up, down]) expect([new Set(order?.slice(-4, -1)), order?.at(-1)]).toEqual([new Set(wanted.slice(-4, -1)), null]);
  }
});
