// What all tests look at, made once: a real training run with failures, a run of MLgym 0.0.75, and one whose every text
// is hostile.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CHATTY, chattyEvents, HOSTILE, hostileEvents, oldEvents } from "./events";
import { reproduce, startRun } from "./services";

export const TRAINED = "trained";
export const OLD = "2023-05-17--10-01-02";
export const CUT = "cut";
/** The experiment of the trained run that was run again. */
export const REPRODUCED = 0;

const CONFIG = `
version: 1
extends: preset/classification
name: digits-for-tests
seed: 3
imports: [fragile]
components:
  data: {use: digits}
  loaders: {batch_size: 64}
  model: {use: mlp, hidden: {sweep: [[8], [32]]}}
  optimizer: {use: fragile_sgd, model: $model, lr: {sweep: [0.01, 0.1, 1.0]}}
experiment: {epochs: 4}
`;

/** A component that fails for some values it is swept over, with a traceback of its own, and one that takes its time. */
const FRAGILE = `
import time
from pathlib import Path

from torch import nn, optim

from mlgym import register
from mlgym.components.loss import CrossEntropy


@register("fragile_sgd")
def fragile_sgd(model: nn.Module, lr: float) -> optim.Optimizer:
    """Gives SGD, unless the step is too large."""
    width = sum(parameter.numel() for parameter in model.parameters())
    if lr >= 1:
        raise RuntimeError(f"a step of {lr} is too large for {width} parameters")
    return optim.SGD(model.parameters(), lr=lr)


@register("unhurried_cross_entropy")
class UnhurriedCrossEntropy(CrossEntropy):
    """Waits for 50 ms before each batch while a file is there."""

    def __init__(self, file: str) -> None:
        super().__init__(name="cross_entropy")
        self.file = Path(file)

    def forward(self, predictions, targets):
        if self.file.exists():
            time.sleep(0.05)
        return super().forward(predictions, targets)
`;

/** Writes a log of events that somebody else made. */
function writeLog(folder: string, events: readonly object[]): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "event_storage.log"), events.map((event) => `${JSON.stringify(event)}\n`).join(""));
}

export default async function setUp(): Promise<() => void> {
  const storage = mkdtempSync(join(tmpdir(), "mlboard-"));
  process.env.MLBOARD_STORAGE = storage;
  const config = join(storage, "digits.yml");
  writeFileSync(config, CONFIG);
  writeFileSync(join(storage, "fragile.py"), FRAGILE);
  process.env.MLBOARD_CONFIG = config;
  await startRun(config, storage, "--run-id", TRAINED).ended;
  writeLog(join(storage, OLD), oldEvents(OLD));
  writeLog(join(storage, HOSTILE), hostileEvents());
  writeLog(join(storage, CHATTY), chattyEvents());
  // The same log, cut in the middle: what time travel has to equal.
  cpSync(join(storage, TRAINED), join(storage, CUT), { recursive: true });
  const log = join(storage, CUT, "event_storage.log");
  const lines = readFileSync(log, "utf8").split("\n");
  writeFileSync(log, `${lines.slice(0, Math.floor(lines.length / 2)).join("\n")}\n`);
  await reproduce(TRAINED, REPRODUCED, storage);
  if (readdirSync(storage).length < 4) throw new Error("the storage was not made");
  return () => rmSync(storage, { recursive: true, force: true });
}

export function storage(): string {
  return process.env.MLBOARD_STORAGE ?? "";
}

export function linesOf(run: string): string[] {
  return readFileSync(join(storage(), run, "event_storage.log"), "utf8").split("\n").filter(Boolean); // prettier-ignore
}
