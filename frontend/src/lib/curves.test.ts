import { describe, expect, it } from "vitest";
import { Curve, withPoints, type CurveSet } from "./curves";
import { readCurves } from "./hub/columns";

function answer(): ArrayBuffer {
  const header = JSON.stringify({
    at: 7, num_points: 3, columns: ["epochs", "steps", "times", "values"],
    series: [{ experiment_id: 4, key: "val/loss", num_points: 9, offset: 0, length: 2 }, { experiment_id: 5, key: "val/loss", num_points: 1, offset: 2, length: 1 }],
  }); // prettier-ignore
  const bytes = new TextEncoder().encode(header.padEnd(Math.ceil(header.length / 8) * 8));
  const buffer = new ArrayBuffer(16 + bytes.length + 3 * 4 * 8);
  new Uint8Array(buffer).set(new TextEncoder().encode("MLGYMCOL"));
  new DataView(buffer).setUint32(8, 1, true);
  new DataView(buffer).setUint32(12, bytes.length, true);
  new Uint8Array(buffer).set(bytes, 16);
  new Float64Array(buffer, 16 + bytes.length).set([1, 2, 1, 10, 20, 10, 100, 200, 100, 0.5, 0.25, Number.NaN]);
  return buffer;
}

const values = (set: CurveSet, id: number): number[] => {
  const curve = set.byKey.get("val/loss")?.get(id);
  return curve === undefined ? [] : [...curve.values.subarray(0, curve.length)];
};

describe("curves", () => {
  it("are read from the hub's columns", () => {
    const set = readCurves(answer());
    expect([values(set, 4), values(set, 5)]).toEqual([[0.5, 0.25], [NaN]]);
    expect(set.byKey.get("val/loss")?.get(4)?.wasThinned).toBe(true);
  });

  it("are refused where the form is another", () => {
    const other = answer();
    new DataView(other).setUint32(8, 2, true);
    expect(() => readCurves(other)).toThrow("form 2");
    expect(() => readCurves(new ArrayBuffer(4))).toThrow("something else");
  });

  it("grow by what came after the answer, and by nothing else", () => {
    const set = readCurves(answer());
    const points = { experimentId: 4, key: "val/loss", eventIds: [6, 7], epochs: [2, 3], steps: [20, 30], times: [200, 300], values: [0.25, 0.125] };
    const grown = withPoints(set, [points, { ...points, key: "train/loss" }], (key) => key === "val/loss");
    expect(values(grown, 4)).toEqual([0.5, 0.25, 0.125]);
    expect(grown.version).toBe(1);
    expect(grown.byKey.has("train/loss")).toBe(false);
    expect(withPoints(grown, [], () => true)).toBe(grown);
  });

  it("replace what a resumed experiment measures again", () => {
    const curve = new Curve(0, "val/loss");
    for (let step = 1; step <= 40; step += 1) curve.add(step, step, step, step);
    curve.add(30, 30, 99, -1);
    expect([curve.length, curve.values[29], curve.epochs[29]]).toEqual([30, -1, 30]);
  });
});
