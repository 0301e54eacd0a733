import { expect, test } from "vitest";
import { environmentFacts, packagesOf } from "./environment";

test("a machine is told from others in words", () => {
  const environment = {
    platform: { host: "vm", system: "Linux", release: "6.1", machine: "x86_64" },
    cpu: { model: "AMD EPYC", cores: 8, usable_cores: 2 },
    memory_bytes: 25_276_514_304,
    gpus: [{ name: "NVIDIA H200" }, { name: "NVIDIA H200" }],
    driver: "580.1",
    deterministic: true,
    git: { commit: "7671c30ec796e16d", branch: "main", dirty: true, diff_bytes: 15_453 },
  };
  const facts = Object.fromEntries(environmentFacts(environment, { torch: "2.13" }));
  expect(facts.memory).toBe("25.3 GB");
  expect(facts.processor).toBe("AMD EPYC, 2 of 8 cores");
  expect(facts.GPU).toBe("2 × NVIDIA H200, driver 580.1");
  expect(facts.code).toBe("7671c30ec796, main, with uncommitted changes (15.5 kB, recorded)");
});

test("what is null or of another form is left out", () => {
  expect(environmentFacts({ driver: null, memory_bytes: "much", cpu: 3, git: null, gpus: [] }, {})).toEqual([["GPU", "none"]]); // prettier-ignore
  expect(packagesOf({ packages: null })).toEqual([]);
});
