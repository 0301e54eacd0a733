import { describe, expect, it } from "vitest";
import { graphOf } from "./graph";

describe("the graph of components", () => {
  it("puts what is needed before what needs it", () => {
    const { nodes, edges } = graphOf({
      components: {
        trainer: { use: "trainer", model: "$model", loader: "$loaders.train" },
        model: { use: "mlp" },
        loaders: { use: "data_loaders", datasets: { train: "$split.train" } },
        split: { use: "split", dataset: "$data" },
        data: { use: "digits", note: "$$5 is no reference" },
      },
      experiment: { use: "training", trainer: "$trainer" },
    });
    const column = Object.fromEntries(nodes.map((node) => [node.name, node.column]));
    expect(column).toEqual({ data: 0, model: 0, split: 1, loaders: 2, trainer: 3, experiment: 4 });
    expect(edges).toContainEqual(["loaders", "trainer"]);
  });

  it("survives circles and what is no component", () => {
    const { nodes, edges } = graphOf({ components: { a: { use: "x", b: "$b" }, b: { use: "y", a: "$a", c: "$nowhere" } } });
    expect(nodes).toHaveLength(2);
    expect(edges).toHaveLength(2);
    expect(graphOf({ components: 7 })).toEqual({ nodes: [], edges: [] });
  });
});
