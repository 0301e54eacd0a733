// The components of a config and which of them needs which, laid out in columns from data to trainer.

export interface Node {
  readonly name: string;
  readonly use: string;
  readonly column: number;
  readonly row: number;
}

export interface Graph {
  readonly nodes: readonly Node[];
  readonly edges: readonly (readonly [from: string, to: string])[];
}

type Plain = Readonly<Record<string, unknown>>;
const isPlain = (value: unknown): value is Plain => typeof value === "object" && value !== null && !Array.isArray(value);

function referencesIn(value: unknown, found: Set<string>): void {
  if (typeof value === "string") {
    const name = /^\$(?!\$)([A-Za-z_][\w-]*)/.exec(value)?.[1];
    if (name !== undefined) found.add(name);
  } else if (Array.isArray(value)) for (const one of value) referencesIn(one, found);
  else if (isPlain(value)) for (const one of Object.values(value)) referencesIn(one, found);
}

const useOf = (value: unknown): string => (isPlain(value) && typeof value.use === "string" ? value.use : "");

/** Gives the graph of a resolved config; a reference to what is no component is left out. */
export function graphOf(config: Plain): Graph {
  const components = isPlain(config.components) ? { ...config.components } : {};
  if (isPlain(config.experiment)) components.experiment = config.experiment;
  const names = Object.keys(components);
  const needs = new Map(
    names.map((name) => {
      const found = new Set<string>();
      referencesIn(components[name], found);
      return [name, [...found].filter((one) => one !== name && names.includes(one))] as const;
    }),
  );
  const columns = new Map<string, number>();
  const columnOf = (name: string, path: readonly string[]): number => {
    const known = columns.get(name);
    if (known !== undefined) return known;
    // A circle cannot come from a config that was checked, but this is somebody's file.
    const column = path.includes(name) ? 0 : Math.max(0, ...(needs.get(name) ?? []).map((one) => columnOf(one, [...path, name]) + 1));
    columns.set(name, column);
    return column;
  };
  const taken = new Map<number, number>();
  const nodes = names.map((name): Node => {
    const column = columnOf(name, []);
    const row = taken.get(column) ?? 0;
    taken.set(column, row + 1);
    return { name, use: useOf(components[name]), column, row };
  });
  return { nodes, edges: names.flatMap((name) => (needs.get(name) ?? []).map((one) => [one, name] as const)) };
}
