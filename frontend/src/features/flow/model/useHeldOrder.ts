// Rows stay where they are while the pointer is among them: a new order waits until it leaves, or is asked for.
import { useState } from "react";

export interface Held<T> {
  readonly items: readonly T[];
  /** How many rows would stand elsewhere. */
  readonly waiting: number;
  readonly onPointerInside: (isInside: boolean) => void;
  readonly apply: () => void;
}

/**
 * Holds the order of items while the pointer is inside.
 *
 * `cause` names what the user did that makes an order (sorting, filter, groups): when it changes, the new order is shown.
 */
export function useHeldOrder<T extends { readonly key: string }>(items: readonly T[], cause: string): Held<T> {
  const [isInside, setInside] = useState(false);
  const [held, setHeld] = useState<{ readonly order: readonly string[]; readonly cause: string } | null>(null);
  const isHeld = isInside && held !== null && held.cause === cause;
  if (isInside && (held === null || held.cause !== cause)) setHeld({ order: items.map(({ key }) => key), cause });
  if (!isHeld) return { items, waiting: 0, onPointerInside: setInside, apply: () => setHeld(null) };
  const byKey = new Map(items.map((item) => [item.key, item]));
  const kept = held.order.flatMap((key) => byKey.get(key) ?? []);
  const known = new Set(held.order);
  const shown = [...kept, ...items.filter(({ key }) => !known.has(key))];
  const waiting = shown.filter((item, i) => item.key !== items[i]?.key).length;
  return { items: shown, waiting, onPointerInside: setInside, apply: () => setHeld(null) };
}
