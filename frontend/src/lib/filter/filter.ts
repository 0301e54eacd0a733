// A filter over rows: which column a key means, and how values compare.
import type { Column, ExperimentRow } from "@/types/api";
import { LATEST, valueOf, type Value } from "../rowValues";
import { FilterError, numberIn, parseFilter, type Expression, type Sign } from "./parse";

export type RowTest = (row: ExperimentRow) => boolean;

const SHORT: Readonly<Record<string, string>> = { id: "experiment_id", duration: "duration_s" };

/** What columns of the table are called, where that is not their key. */
const TITLES: ReadonlyMap<string, string> = new Map([
  ["state", "status"], ["time", "duration"], ["rate", "steps_per_s"], ["memory", "rss_bytes"], ["checkpoints", "num_checkpoints"], ["reproduced", "verdict"], ["search", "standing"], ["why", "decision"],
]); // prettier-ignore

/** Gives the test that a text stands for; null for an empty one. Throws a `FilterError`. */
export function filterOf(text: string, columns: readonly Column[]): RowTest | null {
  const expression = parseFilter(text);
  return expression === null ? null : testOf(expression, columns);
}

function testOf(expression: Expression, columns: readonly Column[]): RowTest {
  switch (expression.kind) {
    case "all": {
      const tests = expression.parts.map((part) => testOf(part, columns));
      return (row) => tests.every((test) => test(row));
    }
    case "any": {
      const tests = expression.parts.map((part) => testOf(part, columns));
      return (row) => tests.some((test) => test(row));
    }
    case "not": {
      const test = testOf(expression.part, columns);
      return (row) => !test(row);
    }
    case "word": {
      const wanted = expression.text.toLowerCase();
      return (row) => searchable(row).includes(wanted);
    }
    case "compare": {
      const key = keyOf(expression.key, columns);
      const test = comparison(expression.sign, expression.operands);
      return (row) => test(comparable(row, key));
    }
  }
}

/** Gives a value as the hub's filters see it: lists as they stand in JSON. */
function comparable(row: ExperimentRow, key: string): Value {
  const swept: unknown = Object.hasOwn(row.swept, key) ? row.swept[key] : null;
  return typeof swept === "object" && swept !== null ? JSON.stringify(swept) : valueOf(row, key);
}

function searchable(row: ExperimentRow): string {
  const swept = Object.entries(row.swept).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return [row.experiment_id, row.status, row.device, row.error, row.exit_signal, row.stop_reason, ...swept].join(" ").toLowerCase();
}

/** Gives the column that a key means: its whole name, or the last part where only one has it. */
function keyOf(key: string, columns: readonly Column[]): string {
  const call = /^(latest|best)\((.+)\)$/.exec(key);
  if (call !== null) return (call[1] === "latest" ? LATEST : "") + keyOf((call[2] ?? "").trim(), columns);
  const known = columns.map((column) => column.key);
  if (known.includes(key)) return key;
  const short = SHORT[key];
  if (short !== undefined) return short;
  const ending = known.filter((one) => one.endsWith(`.${key}`) || one.endsWith(`/${key}`));
  if (ending.length === 1) return ending[0] ?? key;
  if (ending.length > 1) throw new FilterError(`\`${key}\` may be ${ending.map((one) => `\`${one}\``).join(" or ")}`);
  const nearest = TITLES.get(key.toLowerCase()) ?? nearestOf(key, known);
  throw new FilterError(`no experiment has \`${key}\`${nearest === null ? "" : `; did you mean \`${nearest}\`?`}`);
}

function comparison(sign: Sign, operands: readonly string[]): (value: Value) => boolean {
  const first = operands[0] ?? "";
  switch (sign) {
    case "~":
    case "!~": {
      const pattern = patternOf(first);
      return (value) => value !== null && pattern.test(String(value)) === (sign === "~");
    }
    case "<":
    case "<=":
    case ">":
    case ">=": {
      const limit = numberIn(first) ?? Number.NaN;
      return (value) => typeof value === "number" && holds(value, sign, limit);
    }
    default: {
      if (sign === ":" && first === "*") return (value) => value !== null;
      return (value) => value !== null && operands.some((one) => isEqual(value, one)) === (sign !== "!=");
    }
  }
}

function holds(value: number, sign: "<" | "<=" | ">" | ">=", limit: number): boolean {
  if (sign === "<") return value < limit;
  if (sign === "<=") return value <= limit;
  return sign === ">" ? value > limit : value >= limit;
}

function isEqual(value: Exclude<Value, null>, operand: string): boolean {
  const number = numberIn(operand);
  if (number !== null && typeof value === "number") return value === number || (Number.isNaN(value) && Number.isNaN(number));
  return String(value).toLowerCase() === operand.toLowerCase();
}

function patternOf(text: string): RegExp {
  // The hub's expressions may begin with flags, as those of Rust do.
  const [, flags = "", pattern = text] = /^\(\?([ims]+)\)(.*)$/s.exec(text) ?? [];
  try {
    return new RegExp(pattern, `u${[...new Set(flags)].join("")}`);
  } catch {
    throw new FilterError(`\`${text}\` is no regular expression`);
  }
}

function nearestOf(word: string, known: readonly string[]): string | null {
  let [best, least] = [null as string | null, 3];
  for (const one of known) {
    const distance = Math.min(editDistance(word, one), editDistance(word, one.split(/[./]/).at(-1) ?? one));
    if (distance < least) [best, least] = [one, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let before = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const swap = (before[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(swap, (before[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    before = row;
  }
  return before[b.length] ?? 0;
}
