// Columns that become narrower where a table has no room for all of them.

export interface Sized {
  readonly width: number;
  /** The width at which it still tells what it has to. */
  readonly least: number;
}

/** Gives columns as narrow as they have to be to stand within so many px; as wide as they are where that is not to be had. */
export function fitted<T extends Sized>(columns: readonly T[], room: number): T[] {
  const [width, least] = [sumOf(columns, "width"), sumOf(columns, "least")];
  if (width <= room || least > room) return [...columns];
  const share = (room - least) / (width - least);
  return columns.map((column) => ({ ...column, width: Math.floor(column.least + share * (column.width - column.least)) }));
}

export const sumOf = (columns: readonly Sized[], of: keyof Sized): number => columns.reduce((sum, column) => sum + column[of], 0);

/** Gives how many of the columns stand within so many px. */
export function numFitting(columns: readonly Sized[], of: keyof Sized, room: number): number {
  let [count, left] = [0, room];
  while (count < columns.length && (left -= columns[count]?.[of] ?? 0) >= 0) count += 1;
  return count;
}

/** What a table's own scroll bar takes, in px. */
export const SCROLLBAR_PX = 12;
