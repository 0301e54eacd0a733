// A component graph in layers, in Sugiyama's way: what is needed stands left of what needs it, and an edge that passes over
// a column has a place of its own in it, so that it leads between the nodes and never behind one.
import type { Component } from "./graph";

export const WIDTH = 132;
const [HEIGHT, GAP_X, GAP_Y] = [40, 52, 14];
/** Of an edge that passes. */
const LANE = 4;
const [LEAST_SWEEPS, MOST_SWEEPS, MANY_PLACES] = [2, 8, 20_000];
const PORT_GAP = 8;
const MOST_HEIGHT = 400;

export interface PlacedNode {
  readonly component: Component;
  readonly x: number;
  readonly y: number;
  /** More than that of a text where many edges enter. */
  readonly height: number;
}

export interface PlacedEdge {
  readonly from: string;
  readonly to: string;
  /** From the right border of one node to the left border of the other. */
  readonly path: string;
  /** In a circle, which a config that was checked has none of: the arrow stands at the other end. */
  readonly isBack: boolean;
}

export interface Layout {
  readonly nodes: readonly PlacedNode[];
  readonly edges: readonly PlacedEdge[];
  readonly width: number;
  readonly height: number;
}

/** A node, or a lane: where what a node gives passes over a column on its way to others. */
interface Place {
  readonly column: number;
  readonly height: number;
  readonly before: Place[];
  readonly after: Place[];
  y: number;
}

interface Edge {
  readonly from: string;
  readonly to: string;
  readonly isBack: boolean;
}

/** Gives where each component stands, and the way of each edge. */
export function layout(components: readonly Component[]): Layout {
  const edges = edgesOf(components);
  const columnOf = columnsOf(components, edges);
  const nodes = new Map(components.map(({ name, needs }) => [name, place(columnOf.get(name) ?? 0, heightOf(needs.length))]));
  const ways = edges.map((edge) => ({ edge, way: [] as Place[] }));
  const lanes = new Map<string, Place>();
  for (const { edge, way } of ways) way.push(...wayOf(edge, nodes, lanes));
  const columns = inColumns([...nodes.values(), ...lanes.values()]);
  // Of a graph of hundreds of layers nobody sees the last crossing, but everybody waits for it.
  const sweeps = Math.max(LEAST_SWEEPS, Math.min(MOST_SWEEPS, Math.floor(MANY_PLACES / (nodes.size + lanes.size))));
  untangle(columns, sweeps);
  settle(columns, 2 * sweeps);
  const places = columns.flat();
  const top = Math.min(...places.map(({ y, height }) => y - height / 2));
  for (const one of places) one.y = Math.round(one.y - top);
  return {
    nodes: components.flatMap((component) => {
      const at = nodes.get(component.name);
      return at === undefined ? [] : [{ component, x: left(at), y: at.y - at.height / 2, height: at.height }];
    }),
    edges: drawn(ways),
    width: Math.max(0, ...places.map((one) => left(one) + WIDTH)),
    height: Math.max(0, ...places.map(({ y, height }) => y + height / 2)),
  };
}

const place = (column: number, height: number): Place => ({ column, height, before: [], after: [], y: 0 });
const heightOf = (numEntering: number): number => Math.min(MOST_HEIGHT, Math.max(HEIGHT, PORT_GAP * (numEntering + 1)));
const left = ({ column }: Place): number => column * (WIDTH + GAP_X);

/** Gives the edges without circles: one that closes a circle is turned round. */
function edgesOf(components: readonly Component[]): Edge[] {
  const byName = new Map(components.map((one) => [one.name, one]));
  const state = new Map<string, "open" | "done">();
  const edges: Edge[] = [];
  const visit = (name: string): void => {
    state.set(name, "open");
    for (const { name: need } of byName.get(name)?.needs ?? []) {
      if (!state.has(need)) visit(need);
      const isBack = state.get(need) === "open";
      edges.push(isBack ? { from: name, to: need, isBack } : { from: need, to: name, isBack });
    }
    state.set(name, "done");
  };
  for (const { name } of components) if (!state.has(name)) visit(name);
  return edges;
}

/** Gives each component a column right of all that it needs, and near to what needs it. */
function columnsOf(components: readonly Component[], edges: readonly Edge[]): Map<string, number> {
  const [needs, users] = [grouped(edges, "to", "from"), grouped(edges, "from", "to")];
  const columns = new Map<string, number>();
  const columnOf = (name: string): number => {
    const known = columns.get(name);
    if (known !== undefined) return known;
    const column = Math.max(0, ...(needs.get(name) ?? []).map((one) => columnOf(one) + 1));
    columns.set(name, column);
    return column;
  };
  for (const { name } of components) columnOf(name);
  for (const { name } of [...components].sort((a, b) => columnOf(b.name) - columnOf(a.name))) {
    const by = users.get(name) ?? [];
    if (by.length > 0 && by.length >= (needs.get(name)?.length ?? 0)) columns.set(name, Math.min(...by.map(columnOf)) - 1);
  }
  return columns;
}

function grouped(edges: readonly Edge[], by: "from" | "to", of: "from" | "to"): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const edge of edges) found.set(edge[by], [...(found.get(edge[by]) ?? []), edge[of]]);
  return found;
}

/** Gives the places of an edge from node to node; edges from one node share their lanes as far as they go together. */
function wayOf({ from, to }: Edge, nodes: ReadonlyMap<string, Place>, lanes: Map<string, Place>): Place[] {
  const [start, end] = [nodes.get(from), nodes.get(to)];
  if (start === undefined || end === undefined) return [];
  const way = [start];
  for (let column = start.column + 1; column < end.column; column += 1) {
    const key = `${column} ${from}`;
    const lane = lanes.get(key) ?? place(column, LANE);
    if (!lanes.has(key)) join(way.at(-1), lane);
    lanes.set(key, lane);
    way.push(lane);
  }
  join(way.at(-1), end);
  return [...way, end];
}

function join(a: Place | undefined, b: Place): void {
  if (a === undefined) return;
  a.after.push(b);
  b.before.push(a);
}

function inColumns(places: readonly Place[]): Place[][] {
  const columns: Place[][] = Array.from({ length: Math.max(0, ...places.map(({ column }) => column + 1)) }, () => []);
  for (const one of places) columns[one.column]?.push(one);
  return columns;
}

/** Orders the places of each column so that few edges cross: by the mean of their neighbours, to and fro, the best kept. */
function untangle(columns: Place[][], sweeps: number): void {
  const number = (): void => columns.forEach((column) => column.forEach((one, i) => (one.y = i - (column.length - 1) / 2)));
  number();
  let best = { crossings: crossings(columns), columns: columns.map((column) => [...column]) };
  for (let sweep = 0; sweep < sweeps && best.crossings > 0; sweep += 1) {
    const isForth = sweep % 2 === 0;
    for (const column of isForth ? columns : [...columns].reverse()) {
      const means = new Map(column.map((one) => [one, meanOf(isForth ? one.before : one.after) ?? one.y]));
      column.sort((a, b) => (means.get(a) ?? 0) - (means.get(b) ?? 0));
      column.forEach((one, i) => (one.y = i - (column.length - 1) / 2));
    }
    const now = crossings(columns);
    if (now < best.crossings) best = { crossings: now, columns: columns.map((column) => [...column]) };
  }
  best.columns.forEach((column, i) => (columns[i] = column));
}

function meanOf(places: readonly Place[]): number | null {
  return places.length === 0 ? null : places.reduce((sum, { y }) => sum + y, 0) / places.length;
}

function crossings(columns: readonly (readonly Place[])[]): number {
  return columns.reduce((sum, column) => sum + inversions(column.flatMap((one) => one.after.map(({ y }) => y).sort((a, b) => a - b))), 0);
}

/** Gives how many pairs stand in the wrong order. */
function inversions(numbers: readonly number[]): number {
  const sorted: number[] = [];
  let count = 0;
  for (const number of numbers) {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sorted[middle] ?? 0) <= number) low = middle + 1;
      else high = middle;
    }
    count += sorted.length - low;
    sorted.splice(low, 0, number);
  }
  return count;
}

/** Gives each place a height near that of its neighbours, in the order of its column and with room between them. */
function settle(columns: readonly (readonly Place[])[], sweeps: number): void {
  for (const column of columns) spread(column, column.map((_, i) => (i - (column.length - 1) / 2) * (HEIGHT + GAP_Y)));
  for (let sweep = 0; sweep < sweeps; sweep += 1) {
    const isForth = sweep % 2 === 0;
    for (const column of isForth ? columns : [...columns].reverse()) {
      spread(column, column.map((one) => meanOf(isForth ? one.before : one.after) ?? one.y));
    }
  }
} // prettier-ignore

/** Places a column as near to what is wished as its order and the room between two allow: in the sense of least squares. */
function spread(column: readonly Place[], wishes: readonly number[]): void {
  let offset = 0;
  const offsets = column.map((one, i) => (offset += i === 0 ? 0 : (one.height + (column[i - 1]?.height ?? 0)) / 2 + GAP_Y));
  // Those that would overlap move as one block, which stands at the mean of its wishes.
  const blocks: { sum: number; size: number }[] = [];
  wishes.forEach((wish, i) => {
    let block = { sum: wish - (offsets[i] ?? 0), size: 1 };
    for (let last = blocks.at(-1); last !== undefined && last.sum / last.size > block.sum / block.size; last = blocks.at(-1)) {
      block = { sum: block.sum + last.sum, size: block.size + last.size };
      blocks.pop();
    }
    blocks.push(block);
  });
  let i = 0;
  for (const { sum, size } of blocks) for (const end = i + size; i < end; i += 1) {
    const one = column[i];
    if (one !== undefined) one.y = sum / size + (offsets[i] ?? 0);
  }
} // prettier-ignore

/** Gives the edges as curves between the columns; they enter a node one below the other, as they come. */
function drawn(ways: readonly { readonly edge: Edge; readonly way: readonly Place[] }[]): PlacedEdge[] {
  const entering = new Map<Place, (readonly Place[])[]>();
  for (const { way } of ways) {
    const end = way.at(-1);
    if (end !== undefined) entering.set(end, [...(entering.get(end) ?? []), way]);
  }
  const ports = new Map<readonly Place[], number>();
  for (const [end, all] of entering) {
    const ordered = [...all].sort((a, b) => (a.at(-2)?.y ?? 0) - (b.at(-2)?.y ?? 0));
    const gap = Math.min(PORT_GAP, (end.height - PORT_GAP) / Math.max(1, all.length - 1));
    ordered.forEach((way, i) => ports.set(way, end.y + (i - (all.length - 1) / 2) * gap));
  }
  return ways.filter(({ way }) => way.length > 1).map(({ edge, way }) => ({ ...edge, path: pathOf(way, ports.get(way) ?? 0) }));
}

function pathOf(way: readonly Place[], port: number): string {
  let path = "";
  way.forEach((one, i) => {
    const isLast = i === way.length - 1;
    const [x, y] = [left(one), isLast ? port : one.y];
    if (i === 0) path = `M${x + WIDTH} ${y}`;
    else path += `C${x - GAP_X / 2} ${way[i - 1]?.y ?? y} ${x - GAP_X / 2} ${y} ${x} ${y}${isLast ? "" : `H${x + WIDTH}`}`;
  });
  return path;
}
