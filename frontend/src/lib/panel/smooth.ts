// Smoothing as the field knows it: an exponential mean, corrected at its beginning. It is always drawn over the raw line.

/** Gives the smoothed column; a value that is not finite is a gap and moves nothing. */
export function smoothed(values: Float64Array, length: number, weight: number): Float64Array {
  const out = new Float64Array(length);
  let [mean, seen] = [0, 0];
  for (let i = 0; i < length; i += 1) {
    const value = values[i] ?? Number.NaN;
    if (!Number.isFinite(value)) {
      out[i] = value;
      continue;
    }
    mean = weight * mean + (1 - weight) * value;
    seen += 1;
    out[i] = mean / (1 - weight ** seen);
  }
  return out;
}
