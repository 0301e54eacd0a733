import { expect, test } from "vitest";
import { loadCharts, piecesOf } from "./loads";

const series = (times: number[], values: number[]) => ({ key: "rss_bytes", unit: "bytes", num_points: times.length, times, values }) as const;

test("a line ends where nothing was told for a while", () => {
  const pieces = piecesOf(series([0, 5, 10, 400, 405], [1, 2, 3, 4, 5]), 1, "red", "memory");
  expect(pieces.map((piece) => [...piece.x])).toEqual([[0, 5, 10], [400, 405]]); // prettier-ignore
});

test("what was thinned is no gap", () => {
  const times = Array.from({ length: 100 }, (_, i) => i * 60);
  expect(piecesOf({ ...series(times, times), num_points: 1200 }, 1, "red", "memory")).toHaveLength(1);
  expect(piecesOf(series(times, times), 1, "red", "memory")).toHaveLength(100);
});

test("memory comes in units of its size, and what nobody told is no chart", () => {
  const charts = loadCharts({ at: 1, experiment_id: 0, series: [series([0, 5], [3e8, 4e8])] }, () => "red");
  expect(charts.map(({ title, unit }) => [title, unit])).toEqual([["memory", "MB"]]); // prettier-ignore
  expect([...(charts[0]?.spec.lines[0]?.y ?? [])]).toEqual([300, 400]);
});
