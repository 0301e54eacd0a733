import { describe, expect, it } from "vitest";
import { piecesOf, withoutAnsi } from "./ansi";

describe("log lines", () => {
  it("keep their colours and lose their codes", () => {
    expect(piecesOf("a \x1b[1;31mred\x1b[0m b")).toEqual([
      { text: "a ", colour: null, isBold: false },
      { text: "red", colour: 1, isBold: true },
      { text: " b", colour: null, isBold: false },
    ]);
  });

  it("lose titles, links, cursor moves and broken sequences", () => {
    expect(withoutAnsi("\x1b]0;title\x07x\x1b[2Jy\x1b[31")).toBe("xy31");
    expect(withoutAnsi("\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\")).toBe("click");
    expect(withoutAnsi("50%\rb\x00c\x9bd\te\r")).toBe("bcd\te");
  });

  it("do not read the arguments of a colour as colours", () => {
    expect(piecesOf("\x1b[38;5;31mx")[0]?.colour).toBeNull();
  });
});
