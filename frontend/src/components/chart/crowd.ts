// A thousand curves as one grey layer: for each pixel how many of them pass, drawn once.
import type { ChartSpec, Span } from "./spec";

export type ToPixel = (value: number) => number;

/** Gives how many curves pass each pixel, (height, width) row by row. */
export function countCrowd(crowd: ChartSpec["crowd"], width: number, height: number, toX: ToPixel, toY: ToPixel): Uint16Array {
  // Each curve covers a stretch of every column; where it begins one is added, where it ends one is taken.
  const steps = new Int32Array((height + 1) * width);
  const low = new Float32Array(width);
  const high = new Float32Array(width);
  for (const curve of crowd) {
    coverColumns(curve, low.fill(Infinity), high.fill(-Infinity), width, toX, toY);
    for (let column = 0; column < width; column += 1) {
      const [from, to] = [low[column] ?? Infinity, high[column] ?? -Infinity];
      if (from > to || to < 0 || from >= height) continue;
      const [top, bottom] = [Math.max(0, Math.floor(from)), Math.min(height - 1, Math.floor(to))];
      const [begin, end] = [top * width + column, (bottom + 1) * width + column];
      steps[begin] = (steps[begin] ?? 0) + 1;
      steps[end] = (steps[end] ?? 0) - 1;
    }
  }
  const counts = new Uint16Array(height * width);
  for (let column = 0; column < width; column += 1) {
    let count = 0;
    for (let row = 0; row < height; row += 1) {
      count += steps[row * width + column] ?? 0;
      counts[row * width + column] = count;
    }
  }
  return counts;
}

function coverColumns({ x, y, length }: ChartSpec["crowd"][number], low: Float32Array, high: Float32Array, width: number, toX: ToPixel, toY: ToPixel): void {
  let [lastX, lastY] = [Number.NaN, Number.NaN];
  for (let i = 0; i < length; i += 1) {
    const [px, py] = [toX(x[i] ?? Number.NaN), toY(y[i] ?? Number.NaN)];
    if (Number.isFinite(px) && Number.isFinite(py)) {
      const isJoined = Number.isFinite(lastY);
      const first = Math.max(0, Math.floor(isJoined ? lastX : px));
      const last = Math.min(width - 1, Math.floor(px));
      for (let column = first; column <= last; column += 1) {
        const [a, b] = isJoined ? piece(lastX, lastY, px, py, column) : [py, py];
        low[column] = Math.min(low[column] ?? Infinity, a, b);
        high[column] = Math.max(high[column] ?? -Infinity, a, b);
      }
    }
    [lastX, lastY] = [px, py];
  }
}

/** Gives where a straight piece enters and leaves a column of pixels. */
function piece(x0: number, y0: number, x1: number, y1: number, column: number): Span {
  if (x1 <= x0) return [y0, y1];
  const slope = (y1 - y0) / (x1 - x0);
  return [y0 + (Math.max(x0, column) - x0) * slope, y0 + (Math.min(x1, column + 1) - x0) * slope];
}

/** Gives the layer as a picture: one curve is faint, many together are dark, on a scale that keeps the one in sight. */
export function crowdPicture(counts: Uint16Array, width: number, height: number, colour: readonly [number, number, number]): ImageData {
  const picture = new ImageData(width, height);
  const most = counts.reduce((a, b) => Math.max(a, b), 1);
  const alphas = Uint8ClampedArray.from({ length: most + 1 }, (_, count) => (count === 0 ? 0 : 50 + 190 * (Math.log1p(count) / Math.log1p(most))));
  const { data } = picture;
  const [red, green, blue] = colour;
  for (let i = 0, at = 0; i < counts.length; i += 1, at += 4) {
    const count = counts[i] ?? 0;
    if (count === 0) continue;
    data[at] = red;
    data[at + 1] = green;
    data[at + 2] = blue;
    data[at + 3] = alphas[count] ?? 0;
  }
  return picture;
}
