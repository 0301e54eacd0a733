// The language of filters, such as `status:failed or lr<0.01 and val/f1_macro>0.9`: the same that the hub reads (its
// reference has the page on filters), so that a filter means the same here, in an export, and on the command line.

export type Sign = "<" | "<=" | ">" | ">=" | "=" | "!=" | "~" | "!~" | ":";
export type Expression =
  | { readonly kind: "all" | "any"; readonly parts: readonly Expression[] }
  | { readonly kind: "not"; readonly part: Expression }
  | { readonly kind: "word"; readonly text: string }
  | { readonly kind: "compare"; readonly key: string; readonly sign: Sign; readonly operands: readonly string[] };

/** What is wrong with a filter. */
export class FilterError extends Error {
  override name = "FilterError";
}

const TOKEN = /\s*(?:(?<open>\()|(?<close>\))|(?<operator><=|>=|==|!=|!~|<|>|=|~|:)|(?<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|`(?<ticked>[^`]+)`|(?<call>(?:latest|best)\([^()]+\))|(?<word>[^\s()"'`<>=~:!]+))/y;
const VALUE = /\s*(?<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|\s*(?<bare>[^\s()]+)/y;
const MAX_DEPTH = 50;
const ORDERS = new Set<string>(["<", "<=", ">", ">="]);

/** Gives the expression; null for an empty text. */
export function parseFilter(text: string): Expression | null {
  return text.trim() === "" ? null : new Parser(text).whole();
}

interface Token {
  readonly kind: "open" | "close" | "operator" | "key" | "word";
  readonly text: string;
  readonly end: number;
}

class Parser {
  private position = 0;
  private depth = 0;

  constructor(private readonly text: string) {}

  whole(): Expression {
    const found = this.any();
    if (this.rest() !== "") throw this.fault("an opening parenthesis is missing for the one");
    return found;
  }

  private any(): Expression {
    const parts = [this.all()];
    while (this.takes("or")) parts.push(this.all());
    return joined("any", parts);
  }

  private all(): Expression {
    const parts = [this.not()];
    // Two conditions side by side are both meant.
    while (this.takes("and") || this.goesOn()) parts.push(this.not());
    return joined("all", parts);
  }

  private not(): Expression {
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw new FilterError(`the filter is nested more than ${MAX_DEPTH} levels deep`);
    const found: Expression = this.takes("not") ? { kind: "not", part: this.not() } : this.one();
    this.depth -= 1;
    return found;
  }

  private one(): Expression {
    const token = this.next();
    if (token === null) throw this.fault("expected a comparison such as `lr<0.01`, or a word");
    if (token.kind === "open") {
      this.position = token.end;
      const inside = this.any();
      const closing = this.next();
      if (closing?.kind !== "close") throw this.fault("expected `)`");
      this.position = closing.end;
      return inside;
    }
    if (token.kind === "close" || token.kind === "operator") throw this.fault("expected a key or a word");
    this.position = token.end;
    const sign = this.next();
    if (sign?.kind !== "operator") return { kind: "word", text: token.text };
    this.position = sign.end;
    return this.comparison(token.text, sign.text);
  }

  private comparison(key: string, operator: string): Expression {
    VALUE.lastIndex = this.position;
    const match = VALUE.exec(this.text);
    if (match === null) throw this.fault(`expected a value after \`${operator}\``);
    const { quoted, bare } = match.groups as { quoted?: string; bare?: string };
    if (ORDERS.has(operator) && (bare === undefined || numberIn(bare) === null)) throw this.fault(`\`${operator}\` compares with a number`);
    this.position += match[0].length;
    const sign = (operator === "==" ? "=" : operator) as Sign;
    if (quoted !== undefined) return { kind: "compare", key, sign, operands: [unquoted(quoted)] };
    return { kind: "compare", key, sign, operands: sign === ":" ? (bare ?? "").split(",") : [bare ?? ""] };
  }

  private next(): Token | null {
    return this.tokenAt(this.position, true);
  }

  private tokenAt(position: number, isStrict: boolean): Token | null {
    TOKEN.lastIndex = position;
    const match = TOKEN.exec(this.text);
    if (match === null) {
      if (isStrict && this.rest() !== "") throw this.fault(this.rest().startsWith("!") ? "write `not` instead of `!`" : "this is not understood");
      return null;
    }
    const [end, found] = [position + match[0].length, match.groups ?? {}];
    for (const kind of ["open", "close", "operator", "word"] as const) if (found[kind] !== undefined) return { kind, text: found[kind], end };
    const text = found.ticked ?? found.call ?? unquoted(found.quoted ?? "");
    return { kind: "key", text, end };
  }

  private takes(word: string): boolean {
    const token = this.next();
    if (token?.kind !== "word" || token.text.toLowerCase() !== word) return false;
    // Followed by an operator it is a key that is called so.
    if (this.tokenAt(token.end, false)?.kind === "operator") return false;
    this.position = token.end;
    return true;
  }

  private goesOn(): boolean {
    const token = this.next();
    if (token === null || token.kind === "close") return false;
    return !(token.kind === "word" && token.text.toLowerCase() === "or");
  }

  private rest(): string {
    return this.text.slice(this.position).trim();
  }

  private fault(problem: string): FilterError {
    const where = this.rest() === "" ? "at its end" : `at \`${this.rest().slice(0, 30)}\``;
    return new FilterError(`the filter is not understood ${where}: ${problem}`);
  }
}

const joined = (kind: "all" | "any", parts: readonly Expression[]): Expression => {
  const [first] = parts;
  return parts.length === 1 && first !== undefined ? first : { kind, parts };
};

// Other backslashes belong to regular expressions.
const unquoted = (text: string): string => text.slice(1, -1).replace(/\\(["'\\])/g, "$1");

/** Gives the number that a text stands for; null where it is none. */
export function numberIn(text: string): number | null {
  const named = /^([+-]?)(nan|inf|infinity)$/i.exec(text.trim());
  if (named !== null) return named[2]?.toLowerCase() === "nan" ? Number.NaN : named[1] === "-" ? -Infinity : Infinity;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : null;
}
