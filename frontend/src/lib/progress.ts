// Which epoch an experiment is in, and how many it has behind it.
import type { ExperimentRow } from "@/types/api";

type Progress = NonNullable<ExperimentRow["progress"]>;

/** Gives the epoch it is in, from 1: while it is evaluated, an epoch counts as over already. */
export function epochOf(progress: Progress): number {
  return Math.min(progress.num_epochs, progress.epoch + (progress.phase === "train" ? 1 : 0));
}

/** Gives how many epochs are over. Progress is told a few times a second: what was measured may be of a later epoch. */
export function epochsOver(row: ExperimentRow): number {
  const { progress } = row;
  const measured = Object.values(row.latest).reduce((most, value) => Math.max(most, value.epoch), 0);
  if (progress === null) return measured;
  if (row.status === "done" && row.stop_reason === null) return progress.num_epochs;
  return Math.min(progress.num_epochs, Math.max(progress.epoch, measured));
}
