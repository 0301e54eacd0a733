// The hub's filters and the board's hold to the same cases; tests/server/api/test_filter_cases.py reads them too.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Column, ExperimentRow } from "@/types/api";
import { filterOf } from "./filter";

interface Cases {
  readonly table: { readonly columns: readonly Column[]; readonly rows: readonly ExperimentRow[] };
  readonly cases: readonly { readonly filter: string; readonly rows?: readonly number[]; readonly error?: string }[];
}

const file = new URL("../../../../tests/server/api/filter_cases.json", import.meta.url);
const { table, cases } = JSON.parse(readFileSync(file, "utf8")) as Cases;

describe("a filter, as the hub reads it", () => {
  it.each(cases)("$filter", ({ filter, rows, error }) => {
    const matching = (): number[] => table.rows.filter(filterOf(filter, table.columns) ?? (() => true)).map(({ experiment_id: id }) => id);
    if (error === undefined) expect(matching()).toEqual(rows);
    else expect(matching).toThrow(error);
  });
});
