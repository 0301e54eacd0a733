import { describe, expect, it } from "vitest";
import { countCrowd, crowdPixels, type CrowdCurve } from "./crowd";

const curve = (...points: [number, number][]): CrowdCurve => ({
  x: Float64Array.from(points, ([x]) => x),
  y: Float64Array.from(points, ([, y]) => y),
  length: points.length,
});

/** The counts as rows of digits, the highest values first; a pixel is one wide and one high. */
function picture(crowd: CrowdCurve[], width: number, height: number, more: object = {}): string[] {
  const counts = countCrowd(crowd, { x: [0, width], y: [0, height], isLogX: false, isLogY: false, ...more }, width, height);
  return Array.from({ length: height }, (_, row) => Array.from({ length: width }, (_, column) => counts[column * (height + 1) + row]).join(""));
}

describe("the grey layer", () => {
  it("counts a curve once in each column that it passes, however many points it has there", () => {
    const flat = curve([0.1, 1.5], [0.5, 1.5], [3.9, 1.5]);
    expect(picture([flat, flat], 4, 3)).toEqual(["0000", "2222", "0000"]);
  });

  it("keeps a spike of one point, and is joined over steep pieces", () => {
    const spike = curve([0.5, 0.5], [1.5, 3.5], [2.5, 0.5]);
    const rows = picture([spike], 3, 4);
    expect(rows[0]).toContain("1");
    expect(rows.map((row) => row[1])).toEqual(["1", "1", "1", "0"]);
  });

  it("leaves a gap where a value is missing", () => {
    const broken = curve([0.5, 0.5], [1.5, Number.NaN], [2.5, 0.5]);
    expect(picture([broken], 3, 1)).toEqual(["101"]);
  });

  it("draws nothing outside", () => {
    expect(picture([curve([-5, -5], [10, -5])], 3, 2)).toEqual(["000", "000"]);
    expect(picture([curve([-5, 9], [10, 9])], 3, 2)).toEqual(["000", "000"]);
  });

  it("shows a part of a curve as it runs there, joined with what is outside", () => {
    const rising = curve([0, 0.1], [10, 5.1]);
    expect(picture([rising], 3, 2, { x: [4, 7], y: [2, 4] })).toEqual(["011", "110"]);
  });

  it("has equal factors equally high on a log axis", () => {
    const steps = curve([0.5, 10], [1.5, 100], [2.5, 1000]);
    const rows = picture([steps], 3, 3, { y: [5, 5000], isLogY: true });
    expect(rows.map((row) => row.indexOf("1"))).toEqual([2, 1, 0]);
  });

  it("is clear where nothing is, and darker where more is", () => {
    const counts = Uint16Array.from([0, 1, 0, 2, 0, 0]);
    const pixels = crowdPixels(counts, 2, 2, [10, 20, 30]);
    const [one, two] = [[...pixels.subarray(8, 12)], [...pixels.subarray(4, 8)]];
    expect([...pixels.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
    expect([one.slice(0, 3), two.slice(0, 3)]).toEqual([[10, 20, 30], [10, 20, 30]]); // prettier-ignore
    expect([one[3] ?? 0, two[3]]).toEqual([expect.any(Number), 240]);
    expect(one[3]).toBeLessThan(240);
  });
});
