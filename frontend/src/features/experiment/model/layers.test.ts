import { describe, expect, it } from "vitest";
import { componentsOf, type Component } from "./graph";
import { layout, WIDTH, type Layout } from "./layers";

const components = (needs: Readonly<Record<string, readonly string[]>>): Component[] =>
  Object.entries(needs).map(([name, names]) => ({ name, use: "", needs: names.map((one) => ({ name: one, keys: [one] })) }));

/** Gives points along a path of moves, cubic curves and horizontal lines. */
function pointsOf(path: string): [x: number, y: number][] {
  const points: [number, number][] = [];
  for (const [, kind, rest = ""] of path.matchAll(/([MCH])([^MCH]*)/g)) {
    const numbers = rest.trim().split(/\s+/).map(Number);
    const [x0, y0] = points.at(-1) ?? [0, 0];
    const along = (a: number, b: number, c: number, d: number, t: number): number => (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t ** 2 * c + t ** 3 * d;
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = numbers;
    if (kind === "M") points.push([a, b]);
    for (let i = 1; kind !== "M" && i <= 20; i += 1) points.push(kind === "H" ? [x0 + ((a - x0) * i) / 20, y0] : [along(x0, a, c, e, i / 20), along(y0, b, d, f, i / 20)]);
  }
  return points;
}

/** Gives what is wrong with a layout: an edge that crosses a node, or does not lead from border to border. */
function faultsOf({ nodes, edges }: Layout): string[] {
  const boxes = new Map(nodes.map((node) => [node.component.name, node]));
  return edges.flatMap(({ from, to, path }) => {
    const points = pointsOf(path);
    const [start, end] = [boxes.get(from), boxes.get(to)];
    const within = nodes.filter(({ x, y, height }) => points.some(([px, py]) => px > x + 0.5 && px < x + WIDTH - 0.5 && py > y - 2 && py < y + height + 2));
    const [[x0, y0], [x1, y1]] = [points[0] ?? [0, 0], points.at(-1) ?? [0, 0]];
    const isFromBorder = start !== undefined && x0 === start.x + WIDTH && y0 > start.y && y0 < start.y + start.height;
    const isToBorder = end !== undefined && x1 === end.x && y1 > end.y && y1 < end.y + end.height;
    return [...within.map(({ component }) => `${from} to ${to} crosses ${component.name}`), ...(isFromBorder && isToBorder ? [] : [`${from} to ${to} hangs in the air`])];
  });
}

const overlaps = ({ nodes }: Layout): number => nodes.filter((a) => nodes.some((b) => a !== b && a.x === b.x && a.y <= b.y && a.y + a.height > b.y)).length;

describe("a layout", () => {
  const pipeline = components({
    data: [], split: ["data"], loaders: ["split"], model: [], optimizer: ["model"], scheduler: ["optimizer"], loss: [],
    trainer: ["model", "optimizer", "loss", "loaders", "scheduler"], evaluator: ["model", "loss", "loaders"], experiment: ["trainer", "evaluator"],
  }); // prettier-ignore

  it("leads edges from border to border, past all other nodes", () => {
    const found = layout(pipeline);
    expect(faultsOf(found)).toEqual([]);
    expect([overlaps(found), found.edges.length]).toEqual([0, 14]);
  });

  it("is checked by what sees an edge that crosses a node", () => {
    const found = layout(pipeline);
    const [x, y] = [found.nodes[3]?.x ?? 0, found.nodes[3]?.y ?? 0];
    expect(faultsOf({ ...found, edges: [{ from: "data", to: "experiment", path: `M${x - 9} ${y + 9}H${x + WIDTH + 9}`, isBack: false }] })).toHaveLength(2);
  });

  it("lets edges enter a node one below the other", () => {
    const ends = layout(pipeline).edges.filter(({ to }) => to === "trainer").map(({ path }) => path.split(" ").at(-1));
    expect(new Set(ends).size).toBe(5);
  }); // prettier-ignore

  it("stays in order with hundreds of components", () => {
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`c${i}`, [7, 31].flatMap((step) => (i % 5 === 0 && i >= step ? [`c${i - step}`] : []))]));
    const found = layout(components({ ...many, all: Object.keys(many) }));
    expect([found.nodes.length, overlaps(found), faultsOf(found)]).toEqual([201, 0, []]);
  });

  it("turns round what closes a circle", () => {
    const { nodes, edges } = layout(componentsOf({ components: { a: { use: "x", b: "$b" }, b: { use: "y", a: "$a", c: "$nowhere" } } }));
    expect(nodes).toHaveLength(2);
    expect(edges.map(({ from, to, isBack }) => [from, to, isBack])).toEqual([["b", "a", true], ["b", "a", false]]);
    expect(layout([])).toEqual({ nodes: [], edges: [], width: 0, height: 0 });
  }); // prettier-ignore
});
