// A config as people read it: YAML's look, without its exceptions; to be read, not to be parsed. With what differs from
// another one, each difference at the line that shows it.
import type { ConfigDiff } from "@/types/api";

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
    const at = path === "" ? name : `${path}.${name}`;
    const key = Array.isArray(value) ? "-" : `${name}:`;
    if (typeof one !== "object" || one === null || (depth > 0 && isSmall(one))) return [{ depth, key, value: inline(one), path: at }];
    return [{ depth, key, value: "", path: at }, ...configLines(one, depth + 1, at)];
  });
}

export type Change = ConfigDiff["changes"][number];

export interface Marked {
  /** By the path of a line. */
  readonly changes: ReadonlyMap<string, readonly Change[]>;
  /** Those that no line shows, such as what was removed. */
  readonly others: readonly Change[];
}

/** Gives each difference to the line that shows it: that of its key, or of the short list or mapping that it is within. */
export function marked(lines: readonly ConfigLine[], changes: readonly Change[]): Marked {
  // A difference names what is within `components` without it.
  const byKey = new Map(lines.map(({ path, value }) => [path.replace(/^components\./, ""), { path, isInline: value !== "" }]));
  const found = new Map<string, Change[]>();
  const others: Change[] = [];
  for (const change of changes) {
    const path = pathOf(change.key.replace(/^components\./, ""), byKey);
    if (path === null) others.push(change);
    else found.set(path, [...(found.get(path) ?? []), change]);
  }
  return { changes: found, others };
}

function pathOf(key: string, lines: ReadonlyMap<string, { readonly path: string; readonly isInline: boolean }>): string | null {
  const own = lines.get(key);
  if (own !== undefined) return own.path;
  for (let end = key.lastIndexOf("."); end > 0; end = key.lastIndexOf(".", end - 1)) {
    const around = lines.get(key.slice(0, end));
    if (around !== undefined) return around.isInline ? around.path : null;
  }
  return null;
}
