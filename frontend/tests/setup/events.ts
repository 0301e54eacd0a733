// Logs that no run of ours would write: of the older MLgym, and of somebody who means harm.

export const HOSTILE = "hostile";

export const CORPUS = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg onload=alert(1)>",
  "javascript:alert(1)",
  '"><iframe srcdoc="<script>alert(1)</script>">',
  "'-alert(1)-'",
  "{{constructor.constructor('alert(1)')()}}",
  "</style><script>alert(1)</script>",
  "\u001b]8;;javascript:alert(1)\u0007click\u001b]8;;\u0007",
  "=HYPERLINK(\"http://evil.example\",\"x\")",
  "\u202etxt.exe",
  "**bold** [x](javascript:alert(1))",
] as const;

let clock = 1_684_317_662_000_000;
const event = (event_type: string, payload: object): object => ({ event_type, creation_ts: (clock += 1_000_000), payload });

/** A run as MLgym 0.0.75 wrote it: four types of events, no numbers of producers, NaN as Python writes it not among them. */
export function oldEvents(run: string): object[] {
  const events: object[] = [];
  for (const id of [0, 1]) {
    const of = { grid_search_id: run, experiment_id: id };
    const job = { ...of, job_id: `${run}-${id}`, job_type: 1, starting_time: 1684317662, finishing_time: -1, error: null, stacktrace: null };
    events.push(event("experiment_config", { ...of, job_id: job.job_id, config: { optimizer: { lr: id === 0 ? 0.1 : 0.01 } } }));
    events.push(event("job_status", { ...job, status: "INIT" }), event("job_status", { ...job, status: "RUNNING" }));
    for (let epoch = 0; epoch < 5; epoch += 1) {
      events.push(event("experiment_status", { ...of, status: "train", num_epochs: 5, current_epoch: epoch, splits: ["train"], current_split: "train", num_batches: 10, current_batch: 10 }));
      const scores = { metric_scores: [{ metric: "F1_SCORE_macro", split: "val", score: 0.5 + 0.08 * epoch + 0.01 * id }], loss_scores: [{ loss: "cross_entropy_loss", split: "val", score: 1 / (epoch + 1) }] };
      events.push(event("evaluation_result", { ...of, epoch, ...scores }));
    }
    const error = id === 1 ? "CUDA out of memory" : null;
    events.push(event("job_status", { ...job, status: "DONE", finishing_time: 1684317762, error, stacktrace: error === null ? null : "Traceback (most recent call last):\n  File \"job.py\"" }));
  }
  return events;
}

export const CHATTY = "chatty";
export const NUM_LINES = 2500;

/** A run whose one experiment has much to say. */
export function chattyEvents(): object[] {
  const own = { grid_search_id: CHATTY, experiment_id: 0 };
  const lines = Array.from({ length: NUM_LINES }, (_, i) => event("log", { ...own, level: "info", logger: "train", message: `\u001b[32mline ${i}\u001b[0m` }));
  return [event("experiment_config", { ...own, job_id: "j", config: { seed: 1 } }), ...lines];
}

/** A run in which every text that somebody can choose is from the corpus. */
export function hostileEvents(): object[] {
  const pick = (i: number): string => CORPUS[i % CORPUS.length] ?? "";
  const of = { grid_search_id: HOSTILE };
  const events = [event("run_started", { ...of, name: pick(0), command: [...CORPUS], versions: { [pick(1)]: pick(2) }, num_experiments: CORPUS.length, validation_mode: pick(3) })];
  events.push(event("environment", { ...of, environment: { [pick(4)]: pick(5) } }));
  CORPUS.forEach((text, id) => {
    const own = { ...of, experiment_id: id, job_id: `${HOSTILE}-${id}` };
    events.push(event("experiment_config", { ...own, config: { components: { [text]: { use: text, value: text } }, experiment: { use: text } }, swept: { [pick(0)]: text, other: id }, trial: { configuration: id, role: text } }));
    events.push(event("job_status", { ...own, job_type: 1, status: "RUNNING", device: text, starting_time: 1684317662, finishing_time: -1, error: null, stacktrace: null }));
    const scores = CORPUS.slice(0, 4).map((metric, i) => ({ metric, split: text.slice(0, 8).replace("/", ""), score: id + i }));
    events.push(event("evaluation_result", { ...own, epoch: 1, step: 1, metric_scores: [...scores, { metric: pick(0), split: "val", score: id }], loss_scores: [] }));
    events.push(event("evaluation_result", { ...own, epoch: 2, step: 2, metric_scores: [{ metric: pick(0), split: "val", score: id + 1 }], loss_scores: [] }));
    events.push(event("system_metrics", { ...own, steps_per_s: 10 + id, rss_bytes: 3e8, cpu_percent: text }));
    events.push(event("log", { ...own, level: "error", logger: text, message: text }));
    events.push(event("training_stopped", { ...own, epoch: 1, step: 1, reason: text }));
    events.push(event("checkpoint_saved", { ...own, epoch: 1, step: 1, path: `${id}/checkpoints/${text}`, bytes: 3, sha256: { [text]: text }, reasons: [text] }));
    events.push(event("job_status", { ...own, job_type: 1, status: "DONE", starting_time: 1684317662, finishing_time: 1684317762, error: id % 2 === 0 ? text : null, stacktrace: text, exit_signal: text, log_tail: [text] }));
  });
  return [...events, event("run_finished", { ...of, num_succeeded: 6, num_failed: 6, num_interrupted: 0, num_not_started: 0 })];
}
