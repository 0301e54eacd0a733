// The components of a config, and which of them needs which.

export interface Component {
  readonly name: string;
  readonly use: string;
  /** Under which of its keys it names which other component. */
  readonly needs: readonly Need[];
}

export interface Need {
  readonly name: string;
  readonly keys: readonly string[];
}

type Plain = Readonly<Record<string, unknown>>;
const isPlain = (value: unknown): value is Plain => typeof value === "object" && value !== null && !Array.isArray(value);

function referencesIn(value: unknown, key: string, found: Map<string, string[]>): void {
  const within = (name: string): string => (key === "" ? name : `${key}.${name}`);
  if (typeof value === "string") {
    const name = /^\$(?!\$)([A-Za-z_][\w-]*)/.exec(value)?.[1];
    if (name !== undefined) found.set(name, [...(found.get(name) ?? []), key]);
  } else if (Array.isArray(value)) value.forEach((one, i) => referencesIn(one, within(String(i)), found));
  else if (isPlain(value)) for (const [name, one] of Object.entries(value)) referencesIn(one, within(name), found);
}

const useOf = (value: unknown): string => (isPlain(value) && typeof value.use === "string" ? value.use : "");

/** Gives the components of a resolved config, in its order; a reference to what is no component is left out. */
export function componentsOf(config: Plain): Component[] {
  const components = isPlain(config.components) ? { ...config.components } : {};
  if (isPlain(config.experiment)) components.experiment = config.experiment;
  return Object.entries(components).map(([name, value]) => {
    const found = new Map<string, string[]>();
    referencesIn(value, "", found);
    const needs = [...found].filter(([one]) => one !== name && Object.hasOwn(components, one)).map(([one, keys]) => ({ name: one, keys }));
    return { name, use: useOf(value), needs };
  });
}
