// A config as people read it: YAML's look, without its exceptions; to be read, not to be parsed.

export interface ConfigLine {
  readonly depth: number;
  readonly key: string;
  readonly value: string;
  /** The key from the root, as differences name it. */
  readonly path: string;
}

const isPlain = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isSmall = (value: unknown): boolean => {
  const parts = isPlain(value) ? Object.values(value) : Array.isArray(value) ? (value as unknown[]) : [];
  return parts.every((one) => typeof one !== "object" || one === null) && inline(value).length < 70;
};

function inline(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (isPlain(value)) return `{${Object.entries(value).map(([key, one]) => `${key}: ${inline(one)}`).join(", ")}}`; // prettier-ignore
  if (typeof value === "string") return /^[\w$./-][\w $./-]*$/.test(value) ? value : JSON.stringify(value);
  return typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value);
}

/** Gives the lines of a config. */
export function configLines(value: unknown, depth = 0, path = ""): ConfigLine[] {
  const entries: [string, unknown][] = Array.isArray(value) ? value.map((one, i) => [String(i), one as unknown]) : isPlain(value) ? Object.entries(value) : [];
  return entries.flatMap(([name, one]): ConfigLine[] => {
    const at = Array.isArray(value) ? `${path}[${name}]` : path === "" ? name : `${path}.${name}`;
    const key = Array.isArray(value) ? "-" : `${name}:`;
    if (typeof one !== "object" || one === null || (depth > 0 && isSmall(one))) return [{ depth, key, value: inline(one), path: at }];
    return [{ depth, key, value: "", path: at }, ...configLines(one, depth + 1, at)];
  });
}
