// Curves as typed columns that grow while a run is live; what charts, tables and downloads read.
import type { Points } from "./live/delta";

const INITIAL_ROOM = 16;

/** A metric of one experiment. Columns have room for more than `length` points; only the first `length` count. */
export class Curve {
  length = 0;
  epochs: Float64Array;
  steps: Float64Array;
  times: Float64Array;
  values: Float64Array;
  /** Points before the hub thinned them. */
  numPoints = 0;

  constructor(
    readonly experimentId: number,
    readonly key: string,
    room = INITIAL_ROOM,
  ) {
    this.epochs = new Float64Array(room);
    this.steps = new Float64Array(room);
    this.times = new Float64Array(room);
    this.values = new Float64Array(room);
  }

  /** Makes a curve of columns that are there, without copying them. */
  static of(experimentId: number, key: string, columns: CurveColumns, numPoints = columns.values.length): Curve {
    const curve = new Curve(experimentId, key, 0);
    Object.assign(curve, columns);
    curve.length = columns.values.length;
    curve.numPoints = numPoints;
    return curve;
  }

  get wasThinned(): boolean {
    return this.numPoints > this.length;
  }

  add(epoch: number, step: number, time: number, value: number): void {
    // What a resumed experiment measures again replaces what it measured before.
    while (this.length > 0 && !this.isBefore(epoch, step)) this.length -= 1;
    if (this.length === this.values.length) this.grow();
    const at = this.length;
    [this.epochs[at], this.steps[at], this.times[at], this.values[at]] = [epoch, step, time, value];
    this.length += 1;
    this.numPoints += 1;
  }

  private isBefore(epoch: number, step: number): boolean {
    const [lastEpoch, lastStep] = [this.epochs[this.length - 1] ?? -1, this.steps[this.length - 1] ?? -1];
    return step >= 0 && lastStep >= 0 ? lastStep < step : lastEpoch < epoch;
  }

  private grow(): void {
    const room = Math.max(INITIAL_ROOM, this.values.length * 2);
    for (const name of ["epochs", "steps", "times", "values"] as const) {
      const wider = new Float64Array(room);
      wider.set(this[name].subarray(0, this.length));
      this[name] = wider;
    }
  }
}

export interface CurveColumns {
  readonly epochs: Float64Array;
  readonly steps: Float64Array;
  readonly times: Float64Array;
  readonly values: Float64Array;
}

/** Curves by metric and experiment, as of so many events. */
export interface CurveSet {
  readonly at: number;
  /** Grows with every change, since the columns themselves are changed in place. */
  readonly version: number;
  readonly byKey: ReadonlyMap<string, ReadonlyMap<number, Curve>>;
}

/** Which curves a query is about. */
export interface CurveChoice {
  readonly keys: readonly string[];
  /** Null for all experiments. */
  readonly experiments: readonly number[] | null;
  /** At most so many of each curve; the hub keeps first, last, smallest and largest of each piece. */
  readonly points: number;
}

export function isWanted({ keys, experiments }: CurveChoice): (key: string, experiment: number) => boolean {
  const [wantedKeys, wanted] = [new Set(keys), experiments === null ? null : new Set(experiments)];
  return (key, experiment) => wantedKeys.has(key) && (wanted === null || wanted.has(experiment));
}

export type MutableCurves = Map<string, Map<number, Curve>>;

export function curveOf(curves: MutableCurves, key: string, experimentId: number): Curve {
  let ofKey = curves.get(key);
  if (ofKey === undefined) curves.set(key, (ofKey = new Map<number, Curve>()));
  let curve = ofKey.get(experimentId);
  if (curve === undefined) ofKey.set(experimentId, (curve = new Curve(experimentId, key)));
  return curve;
}

/** Gives the set with points that came since; those it has already are passed over. */
export function withPoints(set: CurveSet, added: readonly Points[], wanted: (key: string, experiment: number) => boolean): CurveSet {
  const curves = set.byKey as MutableCurves;
  let changed = false;
  for (const points of added) {
    if (!wanted(points.key, points.experimentId)) continue;
    for (let i = 0; i < points.eventIds.length; i += 1) {
      if ((points.eventIds[i] ?? -1) < set.at) continue;
      const [epoch = 0, step = -1, time = 0, value = NaN] = [points.epochs[i], points.steps[i], points.times[i], points.values[i]];
      curveOf(curves, points.key, points.experimentId).add(epoch, step, time, value);
      changed = true;
    }
  }
  return changed ? { ...set, version: set.version + 1 } : set;
}
