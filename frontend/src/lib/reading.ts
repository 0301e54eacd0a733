// Logs that a hub is still reading: how far it is.
import type { RunSummary } from "@/types/api";

type Reading = NonNullable<RunSummary["reading"]>;

export function fractionRead({ bytes_read: read, num_bytes: all }: Reading): number {
  return all === 0 ? 0 : Math.min(1, read / all);
}

/** Gives it in words; what is not read wholly is never called 100 %. */
export function readingText(reading: Reading): string {
  return `being read, ${Math.min(99, Math.floor(fractionRead(reading) * 100))} %`;
}
