import { expect, it } from "vitest";
import { Curve } from "../curves";
import { meanOf } from "./means";

const curve = (id: number, ...values: number[]): Curve => {
  const made = new Curve(id, "val/loss");
  values.forEach((value, i) => made.add(i + 1, (i + 1) * 10, 1e9 + id * i, value));
  return made;
};

it("a mean is over what there is at each epoch, and says over how few", () => {
  const mean = meanOf([curve(0, 1, 2, 3), curve(1, 3, Number.NaN), curve(2, 5)], "epoch");
  expect([...(mean?.x ?? [])]).toEqual([1, 2, 3]);
  expect([...(mean?.y ?? [])]).toEqual([3, 2, 3]);
  expect([...(mean?.high ?? [])]).toEqual([5, 2, 3]);
  expect([mean?.n, mean?.least]).toEqual([3, 1]);
  expect(meanOf([curve(0, 1, 2), curve(1, 3, 4)], "step")).toMatchObject({ n: 2, least: 2, x: Float64Array.of(10, 20) });
});
