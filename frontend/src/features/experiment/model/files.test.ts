import { expect, it } from "vitest";
import { kindOf, loggedOf } from "./files";

const listing = (experiment: number, name: string, file: string, bytes = 9) => ({ experiment_id: experiment, name, files: { [file]: { bytes, sha256: "0".repeat(64) } } });

it("gives the files of an experiment by name, the newest version first", () => {
  const all = [listing(0, "curve.2", "curve.png"), listing(0, "curve.10", "curve.png"), listing(1, "curve.11", "curve.png"), listing(0, "v1.5.0", "v1.5.txt")];
  expect(loggedOf(all, 0).map(({ name, versions }) => [name, versions.map(({ version }) => version)])).toEqual([["curve", [10, 2]], ["v1.5", [0]]]);
}); // prettier-ignore

it("shows pictures and short texts, and nothing else", () => {
  const kinds = ["a.PNG", "a.txt", "a.pt", "a.tar", "constructor", "a.html"].map((file) => kindOf({ folder: "a.0", version: 0, file, numBytes: 9, sha256: "" }).kind);
  expect(kinds).toEqual(["picture", "text", "bytes", "bytes", "bytes", "text"]);
  expect(kindOf({ folder: "a.0", version: 0, file: "a.txt", numBytes: 1e6, sha256: "" }).kind).toBe("bytes");
});
