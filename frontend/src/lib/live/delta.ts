// What the worker tells the page: what many events together changed. Only this crosses between the two.
import type { ExperimentRow, LogEntry, MetricValue } from "@/types/api";

export interface RowChange {
  readonly experimentId: number;
  /** Fields that have a new value. */
  readonly fields: Partial<Omit<ExperimentRow, "latest" | "best" | "experiment_id">>;
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
