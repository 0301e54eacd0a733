// How grave a log line is.

const GRAVITIES: ReadonlyMap<string, number> = new Map([["debug", 0], ["info", 1], ["warning", 2], ["warn", 2], ["error", 3], ["critical", 4], ["fatal", 4]]); // prettier-ignore

/** Gives the place of a level among the others, as the hub has it: whatever else a log says counts as `info`. */
export const gravityOf = (level: string): number => GRAVITIES.get(level.toLowerCase()) ?? 1;
