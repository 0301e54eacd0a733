import { describe, expect, it } from "vitest";
import type { Column, ExperimentRow, ExperimentTable, RunDetail } from "@/types/api";
import { allColumns, firstColumns } from "./columns";

const run = { selected_metric: "val/f1_macro", validation_mode: "grid_search", status: "finished" } as RunDetail;
/** What a window of so many px leaves a table. */
const roomAt = (px: number): number => px - 78 - 12;

function tableOf(numParameters: number, numMetrics: number, status: "done" | "failed" = "done"): ExperimentTable {
  const metrics = ["train/loss", "test/loss", "val/loss", "val/f1_macro", ...Array.from({ length: numMetrics }, (_, i) => `val/metric_${i}`)];
  const columns = [
    ...Array.from({ length: numParameters }, (_, i): Column => ({ key: `model.p${i}`, kind: "swept", type: "number" })),
    ...metrics.map((key): Column => ({ key, kind: "metric", type: "number", direction: "max" })),
  ];
  const row = { experiment_id: 0, status, swept: Object.fromEntries(columns.filter(({ kind }) => kind === "swept").map(({ key }) => [key, 0.5])) };
  return { columns, rows: [row as unknown as ExperimentRow] } as unknown as ExperimentTable;
}

const state = { isRunning: false, isFoldable: true };

/** Where each of the first columns ends, in px from the left of the table. */
function ends(table: ExperimentTable, px = 1440): Map<string, number> {
  let end = 0;
  return new Map(firstColumns(table, run, allColumns(table, new Map(), state), roomAt(px)).map(({ id, width }) => [id, (end += width)]));
}

describe("what the table shows before anybody chose", () => {
  it.each([[2, 0], [2, 300], [3, 10], [25, 10]])("has state, deciding metric, curve and time in sight with %i parameters and %i more metrics", (numParameters, numMetrics) => {
    const found = ends(tableOf(numParameters, numMetrics, "failed"));
    const needed = ["status", "error", "progress", "model.p0", "val/f1_macro", "duration_s", ...(numParameters < 9 ? ["curve"] : [])];
    for (const id of needed) expect(found.get(id), id).toBeLessThanOrEqual(roomAt(1440));
    // None of the parameters is left out: those without room there come after.
    expect([...found.keys()].filter((id) => id.startsWith("model."))).toHaveLength(numParameters);
  }); // prettier-ignore

  it.each([1280, 1024])("has all of a failing grid in sight at %i px, and nothing that is cut", (px) => {
    const found = ends(tableOf(3, 10, "failed"), px);
    expect([...found.keys()].slice(0, 9)).toEqual(["experiment_id", "status", "error", "progress", "model.p0", "model.p1", "model.p2", "val/f1_macro", "curve"]);
    expect(Math.max(...found.values())).toBeLessThanOrEqual(roomAt(px));
  });

  it("leaves the curve out sooner than a parameter", () => {
    const found = ends(tableOf(5, 10, "failed"), 1024);
    expect([found.has("curve"), Math.max(...found.values()) <= roomAt(1024)]).toEqual([false, true]);
    expect([...found.keys()].filter((id) => id.startsWith("model."))).toHaveLength(5);
  });

  it("says what went wrong beside the state, where something did", () => {
    expect([...ends(tableOf(2, 4, "failed")).keys()].slice(0, 4)).toEqual(["experiment_id", "status", "error", "progress"]);
    expect(ends(tableOf(2, 4)).has("error")).toBe(false);
  });

  it("fills what is left with other metrics, of validation first, and pushes nothing out", () => {
    const found = ends(tableOf(2, 300));
    expect([...found.keys()].slice(-4)).toEqual(["duration_s", "val/loss", "val/metric_0", "val/metric_1"]);
    expect(Math.max(...found.values())).toBeLessThanOrEqual(roomAt(1440));
  });
});
