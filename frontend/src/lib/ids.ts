// Sets of experiments as short text, `0-4,7`: a brush may choose hundreds, and an address has to carry them.

export function formatIds(ids: readonly number[]): string {
  // The order is kept, for it says which colour each one has; runs of neighbours are joined.
  const parts: string[] = [];
  for (let start = 0; start < ids.length; ) {
    let end = start;
    while (end + 1 < ids.length && ids[end + 1] === (ids[end] ?? 0) + 1) end += 1;
    const [first, last] = [ids[start] ?? 0, ids[end] ?? 0];
    parts.push(end > start + 1 ? `${first}-${last}` : ids.slice(start, end + 1).join(","));
    start = end + 1;
  }
  return parts.join(",");
}

const MAX_IDS = 100_000;

export function parseIds(text: string | null): number[] {
  const ids = new Set<number>();
  for (const part of (text ?? "").split(",")) {
    const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part.trim());
    if (match === null) continue;
    const first = Number(match[1]);
    const last = Math.min(Number(match[2] ?? match[1]), first + MAX_IDS);
    for (let id = first; id <= last && ids.size < MAX_IDS; id += 1) ids.add(id);
  }
  return [...ids];
}
