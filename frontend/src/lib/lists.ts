// Lists of names within one parameter of the address; names may hold commas.

export function joinNames(names: readonly string[]): string {
  return names.map((name) => name.replace(/[\\,]/g, "\\$&")).join(",");
}

export function splitNames(text: string | null): string[] {
  if (text === null || text === "") return [];
  return (text.match(/(?:\\.|[^,\\])+/g) ?? []).map((name) => name.replace(/\\(.)/g, "$1"));
}
