// When a run will be done, from what was measured of it so far; no guess where nothing was.
import type { ExperimentRow, RunSummary } from "@/types/api";

/** Gives how long an experiment still takes, in s; null where its pace is not known yet. */
export function remainingOf(row: ExperimentRow, now: number): number | null {
  if (row.status !== "running" || row.attempt_started_at === null || row.progress === null) return null;
  const { fraction } = row.progress;
  // Start-up is most of the first percent.
  if (fraction < 0.01) return null;
  return ((durationOf(row, now) ?? 0) * (1 - fraction)) / fraction;
}

/** Gives how long a run still takes, in s, with as many experiments at a time as run now. */
export function remainingOfRun(rows: readonly ExperimentRow[], numExperiments: number, now: number): number | null {
  const running = rows.filter((row) => row.status === "running");
  if (running.length === 0) return null;
  const left = running.map((row) => remainingOf(row, now));
  if (left.some((one) => one === null)) return null;
  const waiting = Math.max(0, numExperiments - rows.filter((row) => row.status !== "waiting").length);
  const ended = rows.flatMap((row) => (row.status === "done" && row.duration_s !== null ? [row.duration_s] : []));
  const whole = running.map((row, i) => (durationOf(row, now) ?? 0) + (left[i] ?? 0));
  const known = ended.length > 0 ? ended : whole;
  const mean = known.reduce((sum, one) => sum + one, 0) / known.length;
  const work = left.reduce<number>((sum, one) => sum + (one ?? 0), 0) + waiting * mean;
  return Math.max(work / running.length, ...left.map((one) => one ?? 0));
}

/** Gives how many experiments a run has. A repetition runs some of its grid: what waits when it is over was not to run. */
export function plannedExperiments(run: RunSummary): number {
  return run.reproduces == null || run.status === "running" ? run.num_experiments : run.num_experiments - run.counts.waiting;
}

/** Gives how long all attempts of an experiment took together, or have taken so far. */
export function durationOf(row: ExperimentRow, now: number): number | null {
  if (row.status !== "running" || row.attempt_started_at === null) return row.duration_s;
  return row.earlier_s + Math.max(0, now - row.attempt_started_at);
}
