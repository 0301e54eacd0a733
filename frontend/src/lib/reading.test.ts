import { describe, expect, it } from "vitest";
import { readingText } from "./reading";

describe("how far a log was read", () => {
  it.each([
    [{ bytes_read: 0, num_bytes: 0 }, "being read, 0 %"],
    [{ bytes_read: 426, num_bytes: 1000 }, "being read, 42 %"],
    [{ bytes_read: 1000, num_bytes: 1000 }, "being read, 99 %"],
  ])("%o is said so", (reading, words) => {
    expect(readingText(reading)).toBe(words);
  });
});
