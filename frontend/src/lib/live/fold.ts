// Events into deltas. The same reading of events as the hub's own fold, for what comes after the state it gave.
import type { ExperimentRow, LogEntry, MetricValue } from "@/types/api";
import type { HubEvent, NumberedEvent, Payload } from "@/types/events";
import type { Delta, JobChange, Points, RowChange, TrialChange } from "./delta";

interface Row {
  readonly fields: Fields;
  readonly jobs: JobChange[];
  readonly checkpoints: RowChange["checkpoints"][number][];
  readonly values: Map<string, MetricValue[]>;
}

type Fields = { -readonly [K in keyof RowChange["fields"]]: RowChange["fields"][K] };

const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
const number = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);
const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as readonly unknown[]) : []);
const time = (value: unknown): number | null => {
  const seconds = number(value);
  return seconds !== null && seconds >= 0 ? seconds : null;
};

/** Gathers what events change until somebody takes it. */
export class DeltaFold {
  private rows = new Map<number, Row>();
  private points = new Map<string, Points>();
  private logs: LogEntry[] = [];
  private trials = new Map<number, TrialChange>();
  private readonly said = new Map<number, TrialChange>();
  private details = new Set<number>();
  private runChanged = false;
  private historyChanged = false;
  private from = -1;
  private lastAt: number | null = null;

  /** Begins after so many events, which the page knows from elsewhere. */
  constructor(
    readonly run: string,
    private next: number,
  ) {}

  get numEvents(): number {
    return this.next;
  }

  get isEmpty(): boolean {
    return this.from < 0;
  }

  /** Takes one event in; one that was taken before changes nothing. */
  add({ event_id: id, data: event }: NumberedEvent): void {
    if (!Number.isInteger(id) || id < this.next) return;
    if (this.from < 0) this.from = this.next;
    this.next = id + 1;
    this.lastAt = event.creation_ts / 1e6;
    this.apply(id, event, record(event.payload), event.creation_ts / 1e6);
  }

  /** Gives what changed since the last time, and begins anew; null where nothing did. */
  take(): Delta | null {
    if (this.from < 0) return null;
    const delta: Delta = {
      run: this.run,
      from: this.from,
      to: this.next,
      lastAt: this.lastAt,
      rows: [...this.rows].map(([experimentId, { values, ...row }]) => ({ experimentId, ...row, values: Object.fromEntries(values) })),
      points: [...this.points.values()],
      logs: this.logs,
      trials: [...this.trials.values()],
      runChanged: this.runChanged,
      detailsChanged: [...this.details],
      historyChanged: this.historyChanged,
    };
    this.rows = new Map();
    this.points = new Map();
    this.details = new Set();
    this.logs = [];
    this.trials = new Map();
    [this.runChanged, this.historyChanged, this.from] = [false, false, -1];
    return delta;
  }

  private apply(id: number, event: HubEvent, payload: Payload, at: number): void {
    const experiment = number(payload.experiment_id);
    switch (event.event_type) {
      case "run_started":
      case "run_resumed":
        // What an earlier driver left running died with it, which only the whole state shows.
        this.historyChanged ||= event.event_type === "run_resumed";
        this.runChanged = true;
        return;
      case "run_finished":
      case "environment":
      case "selection_made":
        this.runChanged = true;
        return;
      case "search_decision":
      case "search_result":
        this.addTrial(payload);
        return;
      case "log":
        this.addLog(id, payload, experiment, at);
        return;
    }
    if (experiment !== null && experiment >= 0) this.applyToExperiment(id, event.event_type, payload, experiment, at);
  }

  private applyToExperiment(id: number, type: string, payload: Payload, experiment: number, at: number): void {
    switch (type) {
      case "experiment_config":
        this.addConfig(payload, experiment);
        this.details.add(experiment);
        return;
      case "job_status":
        this.addJobStatus(id, payload, experiment, at);
        return;
      case "experiment_status":
        this.fields(experiment).progress = progressOf(payload, at);
        return;
      case "evaluation_result":
        this.addScores(id, payload, experiment, at);
        return;
      case "system_metrics": {
        const fields = this.fields(experiment);
        [fields.steps_per_s, fields.rss_bytes] = [number(payload.steps_per_s), number(payload.rss_bytes)];
        return;
      }
      case "training_stopped":
        this.fields(experiment).stop_reason = text(payload.reason) ?? "no reason given";
        return;
      case "experiment_resumed":
        this.historyChanged ||= payload.replaces_later === true;
        return;
      case "checkpoint_saved":
      case "checkpoint_deleted":
        this.row(experiment).checkpoints.push({ eventId: id, by: type === "checkpoint_saved" ? 1 : -1 });
        this.details.add(experiment);
        return;
      case "reproduction_verdict":
        this.fields(experiment).verdict = VERDICTS.find((one) => one === payload.verdict) ?? null;
        this.details.add(experiment);
        return;
      case "artifact_saved":
      case "data_fingerprint":
      case "digest":
      case "model_summary":
        this.details.add(experiment);
        return;
    }
  }

  private row(experiment: number): Row {
    let row = this.rows.get(experiment);
    if (row === undefined) this.rows.set(experiment, (row = { fields: {}, jobs: [], checkpoints: [], values: new Map() }));
    return row;
  }

  private fields(experiment: number): Fields {
    return this.row(experiment).fields;
  }

  private addConfig(payload: Payload, experiment: number): void {
    const trial = record(payload.trial);
    Object.assign(this.fields(experiment), { swept: record(payload.swept), trial });
    // A trial is spoken of before its experiments are there.
    const said = this.said.get(number(trial.configuration) ?? -1);
    if (said !== undefined) Object.assign(this.fields(experiment), { standing: said.standing, rung: said.rung ?? null, decision: said.decision ?? null });
  }

  /** Reads the words of a search as the hub does; its end says of all trials that were paused that they are left. */
  private addTrial(payload: Payload): void {
    const [trial, action, reason] = [number(payload.trial), text(payload.action), text(payload.reason)];
    if (action === "finish") this.historyChanged = true;
    if (trial === null) return;
    const before = { ...this.said.get(trial), ...(reason === null || reason === "" ? {} : { decision: reason }), trial };
    const standing = { paused: "paused", ended: "complete", failed: "failed" } as const;
    if (action === "try" || action === "promote") this.say({ ...before, standing: "running", rung: number(payload.rung) });
    else if (action === "stop") this.say({ ...before, standing: "stopped" });
    else if (payload.state === "paused" || payload.state === "ended" || payload.state === "failed") this.say({ ...before, standing: standing[payload.state] });
  }

  private say(change: TrialChange): void {
    this.said.set(change.trial, change);
    this.trials.set(change.trial, change);
  }

  private addJobStatus(id: number, payload: Payload, experiment: number, at: number): void {
    const status = text(payload.status);
    if (status !== "INIT" && status !== "RUNNING" && status !== "DONE") return;
    const fields = this.fields(experiment);
    fields.status = statusOf(status, payload);
    fields.error = text(payload.error);
    fields.exit_signal = text(payload.exit_signal);
    fields.attempt = number(payload.attempt) ?? 0;
    if (text(payload.device) !== null) fields.device = text(payload.device);
    const started = time(payload.starting_time) ?? (status === "RUNNING" ? at : null);
    const began = started !== null || status === "INIT" ? { attempt_started_at: started } : {};
    const times = { ...began, finished_at: status === "DONE" ? (time(payload.finishing_time) ?? at) : null };
    this.row(experiment).jobs.push({ eventId: id, times });
    Object.assign(fields, times);
    if (status !== "DONE") fields.progress = null;
    this.details.add(experiment);
  }

  private addScores(id: number, payload: Payload, experiment: number, at: number): void {
    const [epoch, step] = [number(payload.epoch) ?? 0, number(payload.step) ?? -1];
    for (const [kind, listed] of [["metric", "metric_scores"], ["loss", "loss_scores"]] as const) {
      for (const one of list(payload[listed])) {
        const score = record(one);
        const [split, name] = [text(score.split), text(score[kind])];
        if (split === null || name === null) continue;
        this.addScore(id, experiment, `${split}/${name}`, valueOf(score, epoch, step), at);
      }
    } // prettier-ignore
  }

  private addScore(id: number, experiment: number, key: string, value: MetricValue, at: number): void {
    const { values } = this.row(experiment);
    values.set(key, [...(values.get(key) ?? []), value]);
    const name = `${experiment} ${key}`;
    let points = this.points.get(name);
    if (points === undefined) {
      points = { experimentId: experiment, key, eventIds: [], epochs: [], steps: [], times: [], values: [] };
      this.points.set(name, points);
    }
    points.eventIds.push(id);
    points.epochs.push(value.epoch);
    points.steps.push(value.step);
    points.times.push(at);
    points.values.push(value.value ?? { nan: Number.NaN, inf: Infinity, "-inf": -Infinity }[value.non_finite ?? "nan"]);
  }

  private addLog(id: number, payload: Payload, experiment: number | null, at: number): void {
    this.logs.push({
      event_id: id,
      logged_at: at,
      experiment_id: experiment !== null && experiment >= 0 ? experiment : null,
      level: text(payload.level) ?? "",
      logger: text(payload.logger) ?? "",
      message: text(payload.message) ?? "",
    });
    if (this.logs.length > MAX_LOGS) this.logs.splice(0, this.logs.length - MAX_LOGS);
  }
}

const MAX_LOGS = 2000;
const VERDICTS = ["identical", "within_tolerance", "diverged"] as const;

function statusOf(status: "INIT" | "RUNNING" | "DONE", payload: Payload): ExperimentRow["status"] {
  if (status !== "DONE") return status === "INIT" ? "waiting" : "running";
  if (payload.interrupted === true) return "interrupted";
  return payload.error === null || payload.error === undefined ? "done" : "failed";
}

function progressOf(payload: Payload, at: number): NonNullable<ExperimentRow["progress"]> {
  const [epoch, numEpochs] = [number(payload.current_epoch) ?? 0, number(payload.num_epochs) ?? 0];
  const [batch, numBatches] = [number(payload.current_batch) ?? 0, number(payload.num_batches) ?? 0];
  const within = numBatches > 0 ? Math.min(1, batch / numBatches) : 0;
  // While it is evaluated, an epoch counts as over already, as it does for the hub.
  const phase = text(payload.status) ?? "train";
  const epochs = epoch + (phase === "train" ? within : 0);
  return {
    phase,
    epoch,
    num_epochs: numEpochs,
    batch,
    num_batches: numBatches,
    split: text(payload.current_split) ?? "",
    reported_at: at,
    fraction: numEpochs > 0 ? Math.min(1, epochs / numEpochs) : 0,
  };
}

function valueOf(score: Record<string, unknown>, epoch: number, step: number): MetricValue {
  const value = number(score.score);
  if (value !== null) return { value, epoch, step, non_finite: null };
  const name = text(score.non_finite);
  return { value: null, epoch, step, non_finite: name === "inf" || name === "-inf" ? name : "nan" };
}
