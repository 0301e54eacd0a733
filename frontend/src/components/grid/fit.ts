// Columns that become narrower where a table has no room for all of them.
import { useElementSize } from "@mantine/hooks";
import type { RefCallback } from "react";

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

export const sumOf = <K extends keyof Sized>(columns: readonly Pick<Sized, K>[], of: K): number => columns.reduce((sum, column) => sum + column[of], 0);

/** Gives how many of the columns stand within so many px. */
export function numFitting<K extends keyof Sized>(columns: readonly Pick<Sized, K>[], of: K, room: number): number {
  let [count, left] = [0, room];
  while (count < columns.length && (left -= columns[count]?.[of] ?? 0) >= 0) count += 1;
  return count;
}

/** What a table's own scroll bar takes, in px. */
const SCROLLBAR_PX = 12;
/** What is beside the page. */
const PLACES_PX = 78;

/** Gives how many px the columns of a table have within an element, which `ref` is for; before it was measured, a guess. */
export function useRoom<T extends HTMLElement>(): { readonly ref: RefCallback<T | null>; readonly room: number } {
  const { ref, width } = useElementSize<T>();
  return { ref, room: (width || window.innerWidth - PLACES_PX) - SCROLLBAR_PX };
}
