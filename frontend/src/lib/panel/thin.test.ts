import { describe, expect, it } from "vitest";
import { placesInSight, placesToKeep } from "./thin";

const x = Float64Array.from({ length: 1000 }, (_, i) => i);
const whole = [0, 1000] as const;

describe("what of a line is drawn", () => {
  it("is everything where there is room", () => {
    expect(placesToKeep(x, x, whole, [0, 999], 250)).toBeNull();
  });

  it("has the extremes, and first and last, of each column of pixels", () => {
    const y = Float64Array.from(x, (at) => (at === 437 ? 9 : at === 441 ? -9 : Math.sin(at)));
    const places = [...(placesToKeep(x, y, whole, [0, 1000], 10) ?? [])];
    for (let column = 0; column < 10; column += 1) {
      const [begin, end] = [column * 100, column * 100 + 99];
      const own = [...y.subarray(begin, end + 1)];
      const kept = places.filter((place) => place >= begin && place <= end);
      expect(kept).toEqual(expect.arrayContaining([begin, begin + own.indexOf(Math.min(...own)), begin + own.indexOf(Math.max(...own)), end]));
      expect(kept.length).toBeLessThanOrEqual(4);
    }
    // Control: every hundredth point shows neither spike.
    expect(Math.max(...y.filter((_, i) => i % 100 === 0))).toBeLessThan(9);
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });

  it("has one of each that is not finite", () => {
    const y = Float64Array.from(x, (at) => ({ 110: NaN, 111: NaN, 120: Infinity, 730: -Infinity })[at] ?? 1);
    const places = placesToKeep(x, y, whole, [0, 1000], 10);
    const odd = [...(places ?? [])].filter((place) => !Number.isFinite(y[place] ?? 0));
    expect(odd).toEqual([110, 120, 730]);
  });

  it("reaches one point to both sides of what is in sight", () => {
    expect(placesInSight(x, 1000, [10.5, 20])).toEqual([10, 22]);
    expect(placesInSight(x, 1000, [-5, 2000])).toEqual([0, 1000]);
    expect(placesInSight(x, 0, [1, 2])).toEqual([0, 0]);
  });
});
