// What all pictures of the page are about.
import type { ExperimentRow } from "@/types/api";

export interface Shared {
  readonly rows: readonly ExperimentRow[];
  readonly metric: string;
  readonly swept: readonly string[];
  readonly short: ReadonlyMap<string, string>;
  readonly isLow: boolean;
  readonly colourOf: (row: ExperimentRow) => string | null;
}
