import { describe, expect, it } from "vitest";
import { configLines, marked, type Change } from "./yaml";

const config = { seed: 3, components: { model: { use: "mlp", hidden: [16, 8] }, loss: { use: "cross_entropy" } } };
const change = (key: string, kind: Change["kind"] = "changed"): Change => ({ key, kind, old: 1, new: 2 });

describe("differences of a config", () => {
  it("stand at the line that shows them, those within a short list too", () => {
    const { changes, others } = marked(configLines(config), [change("model.hidden.1"), change("model.hidden.0"), change("seed"), change("loss.use")]);
    expect([...changes].map(([path, found]) => [path, found.length])).toEqual([["components.model.hidden", 2], ["seed", 1], ["components.loss", 1]]); // prettier-ignore
    expect(others).toEqual([]);
  });

  it("are listed where no line shows them", () => {
    expect(marked(configLines(config), [change("model.dropout", "removed"), change("scaler.use", "removed")]).others).toHaveLength(2);
  });
});
