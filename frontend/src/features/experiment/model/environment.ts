// What was recorded of the machine and the libraries, in the words of somebody who asks whether it would go elsewhere.
// A log may hold anything under any key, so that each fact is said only where it has the form it should have.
import { formatBytes, formatValue } from "@/lib/format";

type Recorded = Readonly<Record<string, unknown>>;
export type NamedFact = readonly [name: string, value: string];

const record = (value: unknown): Recorded => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Recorded) : {});
const words = (...parts: readonly unknown[]): string => parts.filter((part) => typeof part === "string" || typeof part === "number").join(" "); // prettier-ignore
const listed = (...parts: readonly string[]): string => parts.filter(Boolean).join(", ");
const if_ = (condition: unknown, text: string): string => (condition === true ? text : "");

/** Gives what tells a machine and its software from others; what is not known is left out. */
export function environmentFacts(environment: Recorded, versions: Readonly<Record<string, string>>): NamedFact[] {
  const [platform, cpu, python, torch, git] = ["platform", "cpu", "python", "torch", "git"].map((key) => record(environment[key])) as [Recorded, Recorded, Recorded, Recorded, Recorded]; // prettier-ignore
  const facts: NamedFact[] = [
    ["machine", listed(words(platform.host), words(platform.system, platform.release), words(platform.machine))],
    ["processor", listed(words(cpu.model), coresOf(cpu), words(cpu.isa))],
    ["memory", typeof environment.memory_bytes === "number" ? formatBytes(environment.memory_bytes) : ""],
    ["GPU", gpusOf(environment)],
    ["Python", words(python.implementation, python.version)],
    ["PyTorch", listed(words(torch.version), typeof torch.cuda === "string" ? `CUDA ${torch.cuda}` : "", typeof torch.cudnn === "number" ? `cuDNN ${torch.cudnn}` : "")],
    ["repeats bit for bit", environment.deterministic === true ? "yes" : environment.deterministic === false ? "no: determinism was not asked for" : ""],
    ["threads", words(environment.threads)],
    ["code", codeOf(git)],
    ["variables", Object.entries(record(environment.environment_variables)).map(([name, value]) => `${name}=${formatValue(value)}`).join(" ")],
    ["libraries", Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")],
  ]; // prettier-ignore
  return facts.filter(([, value]) => value !== "");
}

function coresOf({ cores, usable_cores: usable }: Recorded): string {
  if (typeof cores !== "number") return "";
  return typeof usable === "number" && usable !== cores ? `${usable} of ${cores} cores` : `${cores} ${cores === 1 ? "core" : "cores"}`;
}

function gpusOf({ gpus, driver }: Recorded): string {
  if (!Array.isArray(gpus)) return "";
  if (gpus.length === 0) return "none";
  const names = gpus.map((gpu) => (typeof gpu === "string" ? gpu : words(record(gpu).name))).filter(Boolean);
  const counted = [...new Set(names)].map((name) => `${names.filter((one) => one === name).length} × ${name}`);
  return listed(...counted, typeof driver === "string" ? `driver ${driver}` : "");
}

function codeOf(git: Recorded): string {
  if (typeof git.commit !== "string") return "";
  const changes = typeof git.diff_bytes === "number" ? ` (${formatBytes(git.diff_bytes)}, recorded)` : "";
  return listed(git.commit.slice(0, 12), words(git.branch), if_(git.dirty, `with uncommitted changes${changes}`));
}

/** Gives the installed packages with their versions. */
export function packagesOf(environment: Recorded): NamedFact[] {
  return Object.entries(record(environment.packages)).map(([name, version]) => [name, formatValue(version)] as const);
}
