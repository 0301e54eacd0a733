import { describe, expect, it } from "vitest";
import { formatBytes, formatDuration, formatNumber, formatValue, numberOf, shortKeys, shortValue } from "./format";

describe("numbers", () => {
  it("have sensible digits", () => {
    const cases: [number, string][] = [
      [0.97123456, "0.9712"], [12.3456, "12.35"], [1234.56, "1235"], [0.00012345, "1.23e-4"], [0, "0"], [15, "15"],
      [-0.5, "−0.5000"], [2_500_000, "2.5e6"], [Number.NaN, "nan"], [-Infinity, "−inf"],
    ]; // prettier-ignore
    for (const [value, text] of cases) expect(formatNumber(value)).toBe(text);
    expect(formatNumber(null)).toBe("–");
  });

  it("are not finite where the hub says so, which is not missing", () => {
    expect(numberOf({ value: null, epoch: 1, step: 1, non_finite: "inf" })).toBe(Infinity);
    expect(numberOf({ value: null, epoch: 1, step: 1, non_finite: "nan" })).toBeNaN();
    expect(numberOf(undefined)).toBeNull();
  });
});

describe("values of a config", () => {
  it("keep their exact number", () => {
    expect([1e-4, 0.1, 64, 123456789].map(formatValue)).toEqual(["1e-4", "0.1", "64", "1.23456789e8"]);
  });

  it("name a component first", () => {
    expect(formatValue({ use: "adam", lr: 0.1 })).toBe("adam(lr: 0.1)");
    expect(formatValue([{ use: "relu" }, "x", null])).toBe("[relu, x, null]");
  });
});

describe("values of a config", () => {
  it("are exact where they were written, and short where they were drawn", () => {
    expect([0.001, 1e-5, 123456, 0.044105612345, [0.0123456789, 16]].map(shortValue)).toEqual(["1e-3", "1e-5", "123456", "0.04411", "[0.01235, 16]"]); // prettier-ignore
  });
});

describe("durations and sizes", () => {
  it("are read at a glance", () => {
    expect([0.02, 4.21, 59.6, 61, 3720, 100_000].map(formatDuration)).toEqual(
      ["20 ms", "4.2 s", "1m 00s", "1m 01s", "1h 02m", "1d 03h"],
    ); // prettier-ignore
    expect([12, 2048, 52_428_800].map(formatBytes)).toEqual(["12 B", "2.0 kB", "52.4 MB"]);
  });
});

describe("keys", () => {
  it("are shortened where that leaves no doubt", () => {
    const short = shortKeys(["optimizer.lr", "model.hidden", "loss.hidden"]);
    expect([...short.values()]).toEqual(["lr", "model.hidden", "loss.hidden"]);
  });
});
