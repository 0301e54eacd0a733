// Rows stay where they are while the pointer is among them: a new order waits until it leaves, or is asked for.
import { useState } from "react";

export interface Held<T> {
  readonly items: readonly T[];
  /** How many rows would stand elsewhere. */
  readonly waiting: number;
  readonly onPointerEnter: () => void;
  readonly onPointerLeave: () => void;
  readonly apply: () => void;
}

/**
 * Holds the order of items while the pointer is inside.
 *
 * `cause` names what the user did that makes an order (sorting, filter, groups): when it changes, the new order is shown.
 */
export function useHeldOrder<T extends { readonly key: string }>(items: readonly T[], cause: string): Held<T> {
  const [held, setHeld] = useState<{ readonly order: readonly string[]; readonly cause: string } | null>(null);
  const hold = (): void => setHeld({ order: items.map(({ key }) => key), cause });
  if (held !== null && held.cause !== cause) hold();
  const shown = held === null || held.cause !== cause ? items : inOrder(items, held.order);
  const waiting = shown.filter((item, i) => item.key !== items[i]?.key).length;
  // What was held is forgotten with the pointer: held again is what stands there when it comes back.
  return { items: shown, waiting, onPointerEnter: hold, onPointerLeave: () => setHeld(null), apply: hold };
}

function inOrder<T extends { readonly key: string }>(items: readonly T[], order: readonly string[]): T[] {
  const byKey = new Map(items.map((item) => [item.key, item]));
  const known = new Set(order);
  return [...order.flatMap((key) => byKey.get(key) ?? []), ...items.filter(({ key }) => !known.has(key))];
}
