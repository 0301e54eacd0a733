// A thousand curves as one grey layer: for each pixel how many of them pass, drawn once.
import type { ChartSpec } from "./spec";

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
      const from = low[column] ?? Infinity;
      const to = high[column] ?? -Infinity;
      if (from > to || to < 0 || from >= height) continue;
      const begin = Math.max(0, Math.floor(from)) * width + column;
      const end = (Math.min(height - 1, Math.floor(to)) + 1) * width + column;
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

// The innermost loops of the board, over every point of every curve: plain variables, since each pair would be an object.
function coverColumns({ x, y, length }: ChartSpec["crowd"][number], low: Float32Array, high: Float32Array, width: number, toX: ToPixel, toY: ToPixel): void {
  let lastX = Number.NaN;
  let lastY = Number.NaN;
  for (let i = 0; i < length; i += 1) {
    const px = toX(x[i] ?? Number.NaN);
    const py = toY(y[i] ?? Number.NaN);
    // What is left or right of the picture touches no column.
    if (Number.isFinite(py) && px >= 0 && !(lastX > width)) {
      const isJoined = Number.isFinite(lastY);
      const slope = isJoined && px > lastX ? (py - lastY) / (px - lastX) : 0;
      const first = Math.max(0, Math.floor(isJoined ? lastX : px));
      const last = Math.min(width - 1, Math.floor(px));
      for (let column = first; column <= last; column += 1) {
        let from = py;
        let to = py;
        if (isJoined) {
          from = lastY + (Math.max(lastX, column) - lastX) * slope;
          to = px > lastX ? lastY + (Math.min(px, column + 1) - lastX) * slope : py;
        }
        low[column] = Math.min(low[column] ?? Infinity, from, to);
        high[column] = Math.max(high[column] ?? -Infinity, from, to);
      }
    }
    lastX = px;
    lastY = py;
  }
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
