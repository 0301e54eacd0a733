// Curves as the hub sends them: a header, then columns of float64, read in place without copying a point.
import { Curve, type CurveChoice, type CurveSet } from "../curves";

const MAGIC = "MLGYMCOL";
const VERSION = 1;
const PREAMBLE = 16;
const COLUMNS = ["epochs", "steps", "times", "values"] as const;

interface Header {
  readonly at: number;
  readonly num_points: number;
  readonly columns: readonly string[];
  readonly series: readonly {
    readonly experiment_id: number;
    readonly key: string;
    readonly num_points: number;
    readonly offset: number;
    readonly length: number;
  }[];
}

/** Gives what is asked of the hub for them. */
export function curvesBody(choice: CurveChoice, at: number | null): object {
  return { ...choice, method: "minmax", format: "binary", at };
}

/** Gives the curves of an answer; throws where it is of a form that this board does not know. */
export function readCurves(buffer: ArrayBuffer): CurveSet {
  const header = headerOf(buffer);
  const start = PREAMBLE + new DataView(buffer).getUint32(12, true);
  const columns = Object.fromEntries(
    COLUMNS.map((name) => {
      const place = header.columns.indexOf(name);
      if (place < 0) throw new Error(`the hub's curves have no column \`${name}\``);
      return [name, new Float64Array(buffer, start + place * header.num_points * 8, header.num_points)];
    }),
  ) as Record<(typeof COLUMNS)[number], Float64Array>;
  const byKey = new Map<string, Map<number, Curve>>();
  for (const { experiment_id: id, key, num_points: numPoints, offset, length } of header.series) {
    const piece = (name: (typeof COLUMNS)[number]): Float64Array => columns[name].subarray(offset, offset + length);
    const own = { epochs: piece("epochs"), steps: piece("steps"), times: piece("times"), values: piece("values") };
    let ofKey = byKey.get(key);
    if (ofKey === undefined) byKey.set(key, (ofKey = new Map<number, Curve>()));
    ofKey.set(id, Curve.of(id, key, own, numPoints));
  }
  return { at: header.at, version: 0, byKey };
}

function headerOf(buffer: ArrayBuffer): Header {
  const text = new TextDecoder();
  if (buffer.byteLength < PREAMBLE || text.decode(new Uint8Array(buffer, 0, 8)) !== MAGIC) throw new Error("the hub sent something else than curves");
  const view = new DataView(buffer);
  const [version, length] = [view.getUint32(8, true), view.getUint32(12, true)];
  if (version !== VERSION) throw new Error(`the hub sends curves of form ${version}, this board reads form ${VERSION}: load the page anew`);
  return JSON.parse(text.decode(new Uint8Array(buffer, PREAMBLE, length))) as Header;
}
