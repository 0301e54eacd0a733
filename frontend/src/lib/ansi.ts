// Log lines with ANSI colours as plain pieces of text with a style; every other control sequence is dropped.

export interface Piece {
  readonly text: string;
  readonly colour: number | null;
  readonly isBold: boolean;
}

// CSI sequences; OSC sequences up to their end; other escapes of two characters; other control characters but tab.
const SEQUENCE = /\x1b\[([0-9;?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?|[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;

/** Gives the pieces of a line; of a progress bar that wrote over itself, the last state. */
export function piecesOf(whole: string): Piece[] {
  const line = whole.replace(/\r+$/, "").split("\r").at(-1) ?? "";
  const pieces: Piece[] = [];
  let style: Omit<Piece, "text"> = { colour: null, isBold: false };
  let last = 0;
  for (const match of line.matchAll(SEQUENCE)) {
    if (match.index > last) pieces.push({ text: line.slice(last, match.index), ...style });
    last = match.index + match[0].length;
    if (match[2] === "m") style = styleAfter(style, match[1] ?? "");
  }
  if (last < line.length) pieces.push({ text: line.slice(last), ...style });
  return pieces;
}

function styleAfter(style: Omit<Piece, "text">, codes: string): Omit<Piece, "text"> {
  let { colour, isBold } = style;
  const numbers = codes.split(";").map(Number);
  for (let i = 0; i < numbers.length; i += 1) {
    const code = numbers[i] ?? 0;
    if (code === 0) [colour, isBold] = [null, false];
    else if (code === 1) isBold = true;
    else if (code === 22) isBold = false;
    else if (code >= 30 && code <= 37) colour = code - 30;
    else if (code >= 90 && code <= 97) colour = code - 90;
    else if (code === 39) colour = null;
    // Colours of 256 or of RGB: their arguments must not be read as codes of their own.
    else if (code === 38 || code === 48) i += numbers[i + 1] === 5 ? 2 : 4;
  }
  return { colour, isBold };
}

export function withoutAnsi(line: string): string {
  return piecesOf(line).map((piece) => piece.text).join(""); // prettier-ignore
}
