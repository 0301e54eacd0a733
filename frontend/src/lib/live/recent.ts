// What came lately, for answers that were on their way meanwhile: an answer as of event 110 that arrives after event 120
// must not take ten events back.
import type { Delta } from "./delta";

const MAX_DELTAS = 600;
let recent: Delta[] = [];

export function remember(delta: Delta): void {
  if (recent[0] !== undefined && recent[0].run !== delta.run) recent = [];
  recent.push(delta);
  if (recent.length > MAX_DELTAS) recent.splice(0, recent.length - MAX_DELTAS);
}

/** Gives what came of a run after so many events, oldest first. */
export function since(run: string, at: number): Delta[] {
  return recent.filter((delta) => delta.run === run && delta.to > at);
}
