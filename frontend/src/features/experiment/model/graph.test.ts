import { expect, it } from "vitest";
import { componentsOf } from "./graph";

it("gives what each component needs, and under which keys", () => {
  const components = componentsOf({
    components: {
      trainer: { use: "trainer", model: "$model", loader: "$loaders.train", metrics: [{ of: "$model" }] },
      model: { use: "mlp" },
      loaders: { use: "data_loaders", datasets: { train: "$split.train" } },
      split: { use: "split", dataset: "$data", itself: "$split", c: "$nowhere" },
      data: { use: "digits", note: "$$5 is no reference" },
    },
    experiment: { use: "training", trainer: "$trainer" },
  });
  const needs = Object.fromEntries(components.map((one) => [one.name, one.needs.map(({ name, keys }) => [name, ...keys])]));
  expect(needs).toEqual({
    trainer: [["model", "model", "metrics.0.of"], ["loaders", "loader"]],
    model: [],
    loaders: [["split", "datasets.train"]],
    split: [["data", "dataset"]],
    data: [],
    experiment: [["trainer", "trainer"]],
  }); // prettier-ignore
  expect([componentsOf({ components: 7 }), componentsOf({})]).toEqual([[], []]);
});
