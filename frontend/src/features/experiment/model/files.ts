// What was logged as files, by name, with the versions of each.
import type { Listing } from "@/types/api";

export interface LoggedFile {
  readonly folder: string;
  readonly version: number;
  readonly file: string;
  readonly numBytes: number;
  readonly sha256: string;
}

export interface Logged {
  readonly name: string;
  /** The newest first. */
  readonly versions: readonly LoggedFile[];
}

/** Gives the files of an experiment; the folder of each is called `NAME.VERSION`. */
export function loggedOf(listings: readonly Listing[], experiment: number): Logged[] {
  const byName = new Map<string, LoggedFile[]>();
  for (const { experiment_id: id, name: folder, files } of listings) {
    const [, name, version] = /^(.+)\.(\d+)$/.exec(folder) ?? [];
    if (id !== experiment || name === undefined) continue;
    const found = Object.entries(files).map(([file, { bytes, sha256 }]) => ({ folder, version: Number(version), file, numBytes: bytes, sha256 }));
    byName.set(name, [...(byName.get(name) ?? []), ...found]);
  }
  return [...byName].map(([name, versions]) => ({ name, versions: versions.sort((a, b) => b.version - a.version) }));
}

const PICTURES: Readonly<Record<string, string>> = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", svg: "image/svg+xml" };
const TEXTS = new Set(["txt", "md", "json", "csv", "log", "yml", "yaml", "toml", "py", "html"]);
const MOST_TEXT_BYTES = 200_000;
const MOST_PICTURE_BYTES = 20_000_000;

export type Kind = { readonly kind: "picture"; readonly type: string } | { readonly kind: "text" } | { readonly kind: "bytes" };

/** Tells how a file is shown; what is too large, or no browser's business, is for downloading only. */
export function kindOf({ file, numBytes }: LoggedFile): Kind {
  const suffix = file.split(".").at(-1)?.toLowerCase() ?? "";
  const type = Object.hasOwn(PICTURES, suffix) ? PICTURES[suffix] : undefined;
  if (type !== undefined && numBytes <= MOST_PICTURE_BYTES) return { kind: "picture", type };
  return { kind: TEXTS.has(suffix) && numBytes <= MOST_TEXT_BYTES ? "text" : "bytes" };
}
