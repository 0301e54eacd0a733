// What the worker tells the page: what many events together changed. Only this crosses between the two.
import type { ExperimentRow, LogEntry, MetricValue } from "@/types/api";

/** What a job said of its time; merged, the end of one attempt would be lost in the beginning of the next. */
export interface JobChange {
  readonly eventId: number;
  readonly times: { readonly attempt_started_at?: number | null; readonly finished_at: number | null };
}

export interface RowChange {
  readonly experimentId: number;
  /** Fields that have a new value. */
  readonly fields: Partial<Omit<ExperimentRow, "latest" | "best" | "experiment_id">>;
  /** Jobs that began or ended, oldest first. */
  readonly jobs: readonly JobChange[];
  /** Checkpoints that came (1) and went (-1). Counts are not to be taken twice, so each says which event it is of. */
  readonly checkpoints: readonly { readonly eventId: number; readonly by: 1 | -1 }[];
  /** Values measured since, by metric, oldest first. */
  readonly values: Readonly<Record<string, readonly MetricValue[]>>;
}

/** Points of one curve, as columns. */
export interface Points {
  readonly experimentId: number;
  readonly key: string;
  readonly eventIds: number[];
  readonly epochs: number[];
  readonly steps: number[];
  readonly times: number[];
  readonly values: number[];
}

/** How a trial of a search stands now; the rung stays where nothing is said of it. */
export interface TrialChange {
  readonly trial: number;
  readonly rung?: number | null;
  readonly standing: NonNullable<ExperimentRow["standing"]>;
  readonly decision?: string;
}

export interface Delta {
  readonly run: string;
  /** The events it covers: from the first up to, but without, the last. */
  readonly from: number;
  readonly to: number;
  readonly lastAt: number | null;
  readonly rows: RowChange[];
  readonly points: Points[];
  readonly logs: LogEntry[];
  /** What the strategy of a search said or was told, by trial. */
  readonly trials: readonly TrialChange[];
  /** Facts of the run itself changed, so that it has to be asked for again. */
  readonly runChanged: boolean;
  /** Experiments whose details (checkpoints, config, verdicts) changed. */
  readonly detailsChanged: number[];
  /** Results were made void, so that everything has to be asked for again. */
  readonly historyChanged: boolean;
}
