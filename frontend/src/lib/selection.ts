// The experiments that are selected: the same on every page, kept in the address, each with a colour that stays.
import { useMemo } from "react";
import { MAX_COLOURS } from "./colours";
import { formatIds, parseIds } from "./ids";
import { changeView, currentParameter, useParameter } from "./url";

const slots = new Map<number, number>();

/** Gives each selected experiment a slot of the palette, and keeps those that have one. */
function assignSlots(ids: readonly number[]): ReadonlyMap<number, number> {
  const chosen = new Set(ids);
  for (const id of [...slots.keys()]) if (!chosen.has(id)) slots.delete(id);
  for (const id of ids) {
    if (slots.has(id)) continue;
    const taken = new Set(slots.values());
    let slot = 0;
    while (taken.has(slot)) slot += 1;
    slots.set(id, slot);
  }
  return new Map(slots);
}

export interface Selection {
  readonly ids: readonly number[];
  readonly set: ReadonlySet<number>;
  readonly hidden: ReadonlySet<number>;
  readonly isOnly: boolean;
  /** The slot of the palette, or null where there are more than the palette has. */
  readonly slotOf: (id: number) => number | null;
}

export function useSelection(): Selection {
  const [text] = useParameter("sel");
  const [hiddenText] = useParameter("hide");
  const [only] = useParameter("only");
  return useMemo(() => {
    const ids = parseIds(text);
    const assigned = ids.length <= MAX_COLOURS ? assignSlots(ids) : null;
    return {
      ids,
      set: new Set(ids),
      hidden: new Set(parseIds(hiddenText)),
      isOnly: only === "1" && ids.length > 0,
      slotOf: (id) => assigned?.get(id) ?? null,
    };
  }, [text, hiddenText, only]);
}

export function select(ids: readonly number[]): void {
  changeView({ sel: formatIds(ids), ...(ids.length === 0 ? { only: null } : {}) }, { replace: true });
}

export function toggleSelected(id: number): void {
  const ids = parseIds(currentParameter("sel"));
  select(ids.includes(id) ? ids.filter((one) => one !== id) : [...ids, id]);
}

/** Selects all of some experiments, or none of them where all are selected already. */
export function toggleAll(some: readonly number[]): void {
  const ids = parseIds(currentParameter("sel"));
  const [before, of] = [new Set(ids), new Set(some)];
  select(some.every((id) => before.has(id)) ? ids.filter((id) => !of.has(id)) : [...new Set([...ids, ...some])]);
}

export function hide(ids: readonly number[]): void {
  const hidden = new Set([...parseIds(currentParameter("hide")), ...ids]);
  const kept = parseIds(currentParameter("sel")).filter((id) => !hidden.has(id));
  changeView({ hide: formatIds([...hidden].sort((a, b) => a - b)), sel: formatIds(kept) });
}

/** Tells which experiments a page shows. */
export function isShown(selection: Selection, id: number): boolean {
  return !selection.hidden.has(id) && (!selection.isOnly || selection.set.has(id));
}
