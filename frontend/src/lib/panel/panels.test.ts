import { afterEach, describe, expect, it, vi } from "vitest";
import { Panels } from "./panels";
import type { PanelAsk, PanelFrame, PanelPicture, PanelSource } from "./picture";

const AT = 100;
const source: PanelSource = { run: "r", at: null, choice: { keys: ["val/f1"], experiments: null, points: 800 }, url: "http://hub/metrics", token: "secret" };
const ask: PanelAsk = { key: "val/f1", experiments: [0, 1], startedAt: null, groups: null, chosen: [], x: "epoch", smoothing: 0, isLogX: false, isLogY: false, isTrimmed: false };
const frame: PanelFrame = { x: null, y: null, width: 100, height: 50, grey: [128, 128, 128] };

/** What the hub sends: experiments with three values each. */
function answer(ids: readonly number[], at = AT): ArrayBuffer {
  const series = ids.map((id, i) => ({ experiment_id: id, key: "val/f1", num_points: 3, offset: i * 3, length: 3 }));
  const total = ids.length * 3;
  const text = JSON.stringify({ at, num_points: total, columns: ["epochs", "steps", "times", "values"], series });
  const header = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8));
  const buffer = new ArrayBuffer(16 + header.length + total * 32);
  new Uint8Array(buffer).set(new TextEncoder().encode("MLGYMCOL"));
  new DataView(buffer).setUint32(8, 1, true);
  new DataView(buffer).setUint32(12, header.length, true);
  new Uint8Array(buffer, 16).set(header);
  const column = (place: number): Float64Array => new Float64Array(buffer, 16 + header.length + place * total * 8, total);
  ids.forEach((id, i) => {
    for (let point = 0; point < 3; point += 1) {
      const epoch = point + 1;
      [epoch, epoch * 10, 1e9 + epoch, id + epoch / 10].forEach((value, place) => (column(place)[i * 3 + point] = value));
    }
  });
  return buffer;
}

const points = (eventId: number, epoch: number, value: number) => ({
  experimentId: 1, key: "val/f1", eventIds: [eventId], epochs: [epoch], steps: [epoch * 10], times: [1e9], values: [value],
}); // prettier-ignore

function started(...answers: (() => Response)[]) {
  const asked: RequestInit[] = [];
  vi.stubGlobal("fetch", (_: string, init: RequestInit) => {
    asked.push(init);
    return Promise.resolve((answers.shift() ?? (() => new Response(answer([0, 1]))))());
  });
  const [pictures, problems] = [[] as PanelPicture[], [] as string[]];
  const panels = new Panels({
    onPicture: (_, picture) => pictures.push(picture),
    onFailed: (_, message) => problems.push(message),
    toBitmap: (_, width, height) => ({ width, height }) as ImageBitmap,
    later: queueMicrotask,
  });
  return { panels, pictures, problems, asked, last: () => pictures.at(-1) };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

afterEach(() => vi.unstubAllGlobals());

describe("a chart that is shown", () => {
  it("has nothing of another run that was looked at before", async () => {
    const { panels, last } = started();
    panels.beginAt(AT);
    panels.add("another", [points(AT + 50, 2, 9)]);
    panels.show(1, source, ask, frame);
    await settled();
    expect(last()?.lines.map(({ y }) => [...y])).toEqual([[0.1, 0.2, 0.3], [1.1, 1.2, 1.3]]); // prettier-ignore
    // Nor is what came of this one lost meanwhile.
    panels.add("r", [points(AT + 1, 4, 1.4)]);
    panels.show(2, { ...source, choice: { ...source.choice, points: 240 } }, ask, frame);
    await settled();
    expect(last()?.lines.map(({ y }) => [...y])).toEqual([[0.1, 0.2, 0.3], [1.1, 1.2, 1.3, 1.4]]); // prettier-ignore
  });

  it("says when a log axis has no place for some of it", async () => {
    const { panels, last } = started();
    panels.beginAt(AT);
    panels.show(1, source, { ...ask, isLogY: true }, frame);
    await settled();
    expect(last()?.isCutByLog).toBe(false);
    panels.add("r", [points(AT, 4, 0)]);
    panels.drawGrown(3);
    expect(last()?.isCutByLog).toBe(true);
    // Control: a linear axis has.
    panels.show(1, source, ask, frame);
    await settled();
    expect(last()?.isCutByLog).toBe(false);
  });

  it("gets its lines when the hub has sent them, asked for once", async () => {
    const { panels, pictures, asked, last } = started();
    panels.show(1, source, ask, frame);
    panels.reframe(1, { ...frame, width: 120 });
    await settled();
    expect(pictures).toHaveLength(1);
    expect(last()?.lines.map(({ id, y }) => [id, [...y]])).toEqual([[0, [0.1, 0.2, 0.3]], [1, [1.1, 1.2, 1.3]]]); // prettier-ignore
    expect(asked).toHaveLength(1);
    expect(JSON.parse(asked[0]?.body as string)).toMatchObject({ keys: ["val/f1"], format: "binary", at: null });
    expect(new Headers(asked[0]?.headers).get("Authorization")).toBe("Bearer secret");
  });

  it("grows with what comes, and only once with what comes twice", async () => {
    const { panels, last, asked } = started();
    panels.beginAt(AT);
    panels.show(1, source, ask, frame);
    // Came while the answer was on its way: before it was made, and after.
    panels.add("r", [points(AT - 1, 3, 7), points(AT, 4, 1.4)]);
    await settled();
    panels.add("r", [points(AT + 1, 5, Number.NaN)]);
    expect(panels.drawGrown(3)).toBe(false);
    expect([...(last()?.lines[1]?.y ?? [])]).toEqual([1.1, 1.2, 1.3, 1.4, NaN]);
    expect(asked).toHaveLength(1);
  });

  it("takes turns with others, so that no frame has to draw them all", async () => {
    const { panels, pictures } = started();
    panels.beginAt(AT);
    for (const id of [1, 2, 3, 4, 5]) panels.show(id, source, ask, frame);
    await settled();
    const before = pictures.length;
    panels.add("r", [points(AT, 4, 1.4)]);
    expect(panels.drawGrown(3)).toBe(true);
    expect(pictures.length - before).toBe(3);
    expect(panels.drawGrown(3)).toBe(false);
    expect(pictures.length - before).toBe(5);
  });

  it("is asked for anew where something would be missing between the answer and the socket", async () => {
    const { panels, asked } = started();
    panels.show(1, source, ask, frame);
    await settled();
    panels.beginAt(AT);
    await settled();
    expect(asked).toHaveLength(1);
    panels.beginAt(AT + 1);
    await settled();
    expect(asked.length).toBeGreaterThan(1);
  });

  it("shows a part of the axes, without asking again", async () => {
    const { panels, last, asked } = started();
    panels.show(1, source, ask, frame);
    await settled();
    panels.reframe(1, { ...frame, x: [1.9, 2.1] });
    await settled();
    expect([...(last()?.lines[0]?.x ?? [])]).toEqual([1, 2, 3]);
    panels.reframe(1, { ...frame, x: [0, 1.5] });
    await settled();
    expect([...(last()?.lines[0]?.x ?? [])]).toEqual([1, 2]);
    expect(asked).toHaveLength(1);
  });

  it("is one layer of many experiments, with those that are chosen as lines", async () => {
    const ids = Array.from({ length: 300 }, (_, i) => i);
    const { panels, last } = started(() => new Response(answer(ids)));
    panels.show(1, source, { ...ask, experiments: ids, chosen: [7] }, frame);
    await settled();
    expect(last()?.lines.map(({ id }) => id)).toEqual([7]);
    expect(last()?.layer?.bitmap).toMatchObject({ width: 100, height: 50 });
    expect(last()?.spans.x).toEqual([1, 3]);
  });

  it("is a mean with its spread and number", async () => {
    const { panels, last } = started();
    panels.show(1, source, { ...ask, groups: [4, 4] }, frame);
    await settled();
    expect(last()?.lines.map(({ id, n }) => [id, n])).toEqual([[4, 2]]);
    expect(last()?.lines[0]?.y[0]).toBeCloseTo(0.6);
    expect(last()?.bands[0]?.high[0]).toBeCloseTo(0.6 + Math.SQRT1_2);
  });

  it("says what the hub refuses, and tries again when the connection is back", async () => {
    const refusal = { error: { code: "too_many_points", message: "ask for fewer" } };
    const { panels, problems, pictures } = started(() => new Response(JSON.stringify(refusal), { status: 422 }));
    panels.show(1, source, ask, frame);
    await settled();
    expect(problems).toEqual(["ask for fewer"]);
    panels.retry();
    await settled();
    expect(pictures).toHaveLength(1);
  });
});
