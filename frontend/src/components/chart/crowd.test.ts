import { describe, expect, it } from "vitest";
import { countCrowd } from "./crowd";

const same = (value: number): number => value;
const curve = (...points: [number, number][]): { x: Float64Array; y: Float64Array; length: number } => ({
  x: Float64Array.from(points, ([x]) => x),
  y: Float64Array.from(points, ([, y]) => y),
  length: points.length,
});

function picture(counts: Uint16Array, width: number): string[] {
  return Array.from({ length: counts.length / width }, (_, row) => [...counts.subarray(row * width, (row + 1) * width)].join(""));
}

describe("the grey layer", () => {
  it("counts a curve once in each column that it passes, however many points it has there", () => {
    const flat = curve([0.1, 1.5], [0.5, 1.5], [3.9, 1.5]);
    expect(picture(countCrowd([flat, flat], 4, 3, same, same), 4)).toEqual(["0000", "2222", "0000"]);
  });

  it("keeps a spike of one point, and is joined over steep pieces", () => {
    const spike = curve([0.5, 3.5], [1.5, 0.5], [2.5, 3.5]);
    const rows = picture(countCrowd([spike], 3, 4, same, same), 3);
    expect(rows[0]).toContain("1");
    expect(rows.map((row) => row[1])).toEqual(["1", "1", "1", "0"]);
  });

  it("leaves a gap where a value is missing", () => {
    const broken = curve([0.5, 0.5], [1.5, Number.NaN], [2.5, 0.5]);
    expect(picture(countCrowd([broken], 3, 1, same, same), 3)).toEqual(["101"]);
  });

  it("draws nothing outside", () => {
    const outside = curve([-5, -5], [10, -5]);
    expect(picture(countCrowd([outside], 3, 2, same, same), 3)).toEqual(["000", "000"]);
  });
});
