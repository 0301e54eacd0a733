"""The events that MLgym writes: one typed payload per event type, and the envelope around it.

What is read back may be older or newer than this: readers (`fold`) take plain dicts and keep what they don't know.
All of them are here, since their order, about that in which they happen, is that of the reference page.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import msgspec


class Payload(msgspec.Struct, kw_only=True, frozen=True):
    """Base of all payloads; a subclass says its `event_type`. Fields of the same name mean the same in all of them.

    Args:
        grid_search_id: id of the run.
        experiment_id: number of the experiment in the run, from 0.
        job_id: `<run id>-<n>`; an experiment that is tried again is a new job.
        epoch: finished epochs; 0 before training.
        step: optimizer updates so far, over all epochs.
        path: folder of the checkpoint, relative to the run folder.
    """

    event_type: ClassVar[str]


class RunStarted(Payload, kw_only=True, frozen=True):
    """A run begins (`run_started`) on a fresh folder.

    Args:
        name: what the config calls the run.
        command: how it was launched: program and arguments.
        versions: version of each library that matters, by name.
        num_experiments: how many experiments the config unfolds into.
        validation_mode: mode of the config's `validation` section.
        validation: that section with its defaults filled in, and what follows from it: `num_configurations`; `select`
            (`metric`, `best`, `at`, `rule`), what decides; for folds `num_folds`, or `num_outer_folds` and
            `num_inner_folds`; and `score`, what is reported of an experiment on its fold, or of the fit on an outer
            fold: the value of `metric` at the epoch that is best by `epoch_by`, or at the last one, as `at` says.
        reproduces: the run whose results this one is to reproduce; null for none.
    """

    event_type: ClassVar[str] = "run_started"
    grid_search_id: str
    name: str
    command: list[str]
    versions: dict[str, str]
    num_experiments: int
    validation_mode: str
    validation: dict[str, Any] = {}
    reproduces: str | None = None


class RunResumed(RunStarted, kw_only=True, frozen=True):
    """A driver goes on with a run (`run_resumed`); the fields are those of `run_started`, as they are now."""

    event_type: ClassVar[str] = "run_resumed"


class RunFinished(Payload, kw_only=True, frozen=True):
    """A run ended; the counts add up to the number of experiments.

    Args:
        num_succeeded: experiments that reached their end.
        num_failed: experiments that ended with an error.
        num_interrupted: experiments that were running when the run was stopped.
        num_not_started: experiments whose turn had not come.
    """

    event_type: ClassVar[str] = "run_finished"
    grid_search_id: str
    num_succeeded: int
    num_failed: int
    num_interrupted: int
    num_not_started: int


class Environment(Payload, kw_only=True, frozen=True):
    """What `environment.json` holds.

    Args:
        environment: the content of the file: python, packages, hardware, flags, environment variables.
    """

    event_type: ClassVar[str] = "environment"
    grid_search_id: str
    environment: dict[str, Any]


class ExperimentConfig(Payload, kw_only=True, frozen=True):
    """The resolved, sweep-free config of one experiment.

    Args:
        config: the config with every default filled in.
        swept: the values that differ between experiments, by short key, such as `optimizer.lr`.
        lineage: as in `experiment_resumed`, of the job that is about to start.
        trial: what the experiment is for, as far as its mode has it: `configuration` (number of the point of the grid,
            from 0), `role` (`grid`, `fold`, `inner` or `outer`), `outer_fold`, `fold` (the inner one where the role is
            `inner`), `repeat`, `seed_index`, `seed`.
    """

    event_type: ClassVar[str] = "experiment_config"
    grid_search_id: str
    experiment_id: int
    job_id: str
    config: dict[str, Any]
    swept: dict[str, Any] = {}
    lineage: int = 0
    trial: dict[str, Any] = {}


class JobStatus(Payload, kw_only=True, frozen=True):
    """A job changed its state. A failed job is DONE with an error; times are s since the epoch, -1 for not yet.

    Args:
        job_type: always 1; older readers want it.
        status: where the job stands.
        starting_time: when it was started, in s since the epoch, UTC.
        finishing_time: when it ended, in s since the epoch, UTC.
        error: what failed, in a line; null while all is well.
        stacktrace: the traceback of the error where Python gave one.
        device: where it runs, such as `cpu` or `cuda:1`.
        exit_signal: the signal that ended its process, such as `SIGKILL`.
        attempt: 0 for the first time, 1 after one resume ...
        log_tail: the last lines that it printed, where it could not tell its own end.
        interrupted: whether the run was stopped while it ran.
        until_epoch: with `INIT`: after so many epochs the job ends, ready to go on where a search wants it; null for
            all epochs of the config.
    """

    event_type: ClassVar[str] = "job_status"
    job_id: str
    job_type: int = 1
    status: Literal["INIT", "RUNNING", "DONE"]
    grid_search_id: str
    experiment_id: int
    starting_time: float = -1.0
    finishing_time: float = -1.0
    error: str | None = None
    stacktrace: str | None = None
    device: str | None = None
    exit_signal: str | None = None
    attempt: int = 0
    log_tail: list[str] = []
    interrupted: bool = False
    until_epoch: int | None = None


class ExperimentStatus(Payload, kw_only=True, frozen=True):
    """Progress within an epoch; at most 10 an epoch and one every 0.2 s.

    Args:
        status: what it is doing.
        num_epochs: how many epochs there will be at most.
        current_epoch: the epoch it is in, from 0.
        splits: the splits that this phase goes through.
        current_split: the split it is at.
        num_batches: batches of that split in this epoch.
        current_batch: batches done.
    """

    event_type: ClassVar[str] = "experiment_status"
    grid_search_id: str
    experiment_id: int
    status: Literal["train", "evaluation"]
    num_epochs: int
    current_epoch: int
    splits: list[str]
    current_split: str
    num_batches: int
    current_batch: int


class MetricScore(msgspec.Struct, frozen=True, omit_defaults=True):
    """One metric on one split; a non-finite score is null with its name beside it.

    Args:
        metric: its name, such as `f1_macro`.
        split: such as `val`.
        score: the value.
        non_finite: the value where JSON has no number for it.
    """

    metric: str
    split: str
    score: float | None
    non_finite: Literal["nan", "inf", "-inf"] | None = None


class LossScore(msgspec.Struct, frozen=True, omit_defaults=True):
    """One loss on one split; a non-finite score is null with its name beside it.

    Args:
        loss: its name, such as `loss`; `running_loss` is the mean over the samples while the parameters moved.
        split: such as `train`.
        score: the value.
        non_finite: the value where JSON has no number for it.
    """

    loss: str
    split: str
    score: float | None
    non_finite: Literal["nan", "inf", "-inf"] | None = None


class MetricTable(msgspec.Struct, frozen=True):
    """A metric that is no number, such as a confusion matrix: (rows, columns).

    Args:
        metric: its name.
        split: such as `val`.
        values: the rows.
    """

    metric: str
    split: str
    values: list[list[float]]


class EvaluationResult(Payload, kw_only=True, frozen=True):
    """What an evaluation measured, on one split or several; `epoch` counts finished epochs (0: before training).

    Args:
        metric_scores: the metrics.
        loss_scores: the losses.
        tables: the metrics that are no numbers.
    """

    event_type: ClassVar[str] = "evaluation_result"
    grid_search_id: str
    experiment_id: int
    epoch: int
    step: int
    metric_scores: list[MetricScore]
    loss_scores: list[LossScore]
    tables: list[MetricTable] = []


class CheckpointSaved(Payload, kw_only=True, frozen=True):
    """A checkpoint stands on disk; `path` is relative to the run folder.

    Args:
        bytes: size of its files together.
        sha256: hash of each file (hex), by file name.
        reasons: why the strategy keeps it, such as `best` and `last`.
    """

    event_type: ClassVar[str] = "checkpoint_saved"
    grid_search_id: str
    experiment_id: int
    epoch: int
    step: int
    path: str
    bytes: int
    sha256: dict[str, str]
    reasons: list[str]


class CheckpointDeleted(Payload, kw_only=True, frozen=True):
    """A checkpoint was removed by the strategy."""

    event_type: ClassVar[str] = "checkpoint_deleted"
    grid_search_id: str
    experiment_id: int
    epoch: int
    step: int
    path: str


class ArtifactSaved(Payload, kw_only=True, frozen=True):
    """A figure, text or file that somebody logged stands on disk, in a folder of its own.

    Args:
        name: as it was logged.
        kind: what it is.
        version: how many of this name came before it.
        path: the folder, relative to the run folder.
        bytes: size of its files together.
        sha256: hash of each file (hex), by file name.
    """

    event_type: ClassVar[str] = "artifact_saved"
    grid_search_id: str
    experiment_id: int
    name: str
    kind: Literal["figure", "text", "file"]
    version: int
    epoch: int
    step: int
    path: str
    bytes: int
    sha256: dict[str, str]


class ExperimentResumed(Payload, kw_only=True, frozen=True):
    """An experiment goes on from a checkpoint, or from the start where there is none.

    Args:
        job_id: the job that goes on with it.
        epoch: finished epochs at that point.
        step: optimizer updates at that point.
        path: the checkpoint, relative to the run folder; null for the start.
        lineage: how often the experiment went on in a way that need not repeat what came before, from 0.
        replaces_later: whether results after that point are void, because the continuation need not repeat them. Those
            of the same lineage from the same point on stand: a lineage that was killed before its first checkpoint
            begins there again, and the log already has what it repeats.
    """

    event_type: ClassVar[str] = "experiment_resumed"
    grid_search_id: str
    experiment_id: int
    job_id: str
    epoch: int
    step: int
    path: str | None
    lineage: int
    replaces_later: bool


class Digest(Payload, kw_only=True, frozen=True):
    """Hashes of the state at a step: equal ones mean equal bits.

    Args:
        parameters: sha256 (hex) of the parameters and buffers.
        optimizer: sha256 (hex) of the states of the optimizers.
        tensors: 8 hex digits of the sha256 of each tensor, in a row: those of the model, then those of the optimizers.
        names: names of these tensors; in the first digest of an experiment only.
        losses: 8 hex digits for each `steps_per_loss` steps since the last digest: a hash of the losses of these steps.
        steps_per_loss: how many steps each of them covers.
        order: sha256 (hex) of the order of the samples in the epoch; null where the loader does not know it.
    """

    event_type: ClassVar[str] = "digest"
    grid_search_id: str
    experiment_id: int
    epoch: int
    step: int
    parameters: str
    optimizer: str
    tensors: str = ""
    names: list[str] = []
    losses: str = ""
    steps_per_loss: int = 1
    order: str | None = None


class DataFingerprint(Payload, kw_only=True, frozen=True):
    """Hash of the samples of a split, in their order.

    Args:
        split: such as `train`.
        num_samples: how many samples the split has.
        sha256: the hash (hex).
        covers: `sampled` where only some of the samples were read.
        classes: samples of each class, by its name or number; null where there are no classes, or counting them would
            mean to read every sample.
    """

    event_type: ClassVar[str] = "data_fingerprint"
    grid_search_id: str
    experiment_id: int
    split: str
    num_samples: int
    sha256: str
    covers: Literal["all", "sampled"]
    classes: dict[str, int] | None = None


class ModelSummary(Payload, kw_only=True, frozen=True):
    """How large the model is.

    Args:
        name: of its class.
        num_parameters: numbers in its parameters.
        num_trainable_parameters: those that an optimizer may change.
        num_bytes: of parameters and buffers in memory.
    """

    event_type: ClassVar[str] = "model_summary"
    grid_search_id: str
    experiment_id: int
    name: str
    num_parameters: int
    num_trainable_parameters: int
    num_bytes: int


class Difference(msgspec.Struct, frozen=True):
    """One thing in which the surroundings of two runs differ.

    Args:
        kind: what it belongs to, such as `package` or `threads`.
        key: which one, such as `torch`.
        original: what it was.
        new: what it is now.
        changes_bits: whether results may differ because of it.
        hint: what to do about it.
    """

    kind: str
    key: str
    original: Any
    new: Any
    changes_bits: bool
    hint: str = ""


class CodeChanged(Payload, kw_only=True, frozen=True):
    """The process of an experiment has imported other files of the user than its driver recorded (`environment`).

    They were edited after the run had begun, and the process was started later: a task of a cluster, for example, or
    one that comes out of its queue again.

    Args:
        attempt: of the experiment, from 0.
        changes: by module, `key`, the sha256 (hex) that the driver recorded, and the one that was imported.
    """

    event_type: ClassVar[str] = "code_changed"
    grid_search_id: str
    experiment_id: int
    attempt: int
    changes: list[Difference]


class ReproductionVerdict(Payload, kw_only=True, frozen=True):
    """What came of running an experiment again; stands in the logs of both runs.

    Args:
        original_run_id: the run whose results were to be reproduced.
        new_run_id: the run that did it.
        verdict: `identical`: bit for bit; `within_tolerance`: metrics nearly equal; else `diverged`.
        num_digests: how many digests were compared.
        epoch: finished epochs where the two part; null where they don't, or nobody knows.
        step: optimizer updates where they part.
        tensor: the first tensor that differs there.
        largest_relative_difference: by `split/metric`.
        differences: how the surroundings differ.
        determinism: of the new run, `bitwise` or `fast`.
        decisions: whether what a search or a nested cross validation decided on its way is decided again, in a line;
            null where nothing was decided.
    """

    event_type: ClassVar[str] = "reproduction_verdict"
    grid_search_id: str
    experiment_id: int
    original_run_id: str
    new_run_id: str
    verdict: Literal["identical", "within_tolerance", "diverged"]
    num_digests: int
    epoch: int | None = None
    step: int | None = None
    tensor: str | None = None
    largest_relative_difference: dict[str, float] = {}
    differences: list[Difference] = []
    determinism: str = "bitwise"
    decisions: str | None = None


class ConfigurationScore(msgspec.Struct, frozen=True):
    """What a configuration scored on the inner folds of an outer one.

    Args:
        configuration: number of the point of the grid, from 0.
        mean: over all its inner experiments; null where one of them has no score, which ranks it last.
        sd: standard deviation (n - 1) of the same; null where there are fewer than two.
        num_scored: inner experiments that have a score.
        num_failed: inner experiments that failed, or ended without a score.
    """

    configuration: int
    mean: float | None
    sd: float | None
    num_scored: int
    num_failed: int


class SelectionMade(Payload, kw_only=True, frozen=True):
    """The inner experiments of an outer fold are done, and the best configuration is about to be fitted anew.

    Args:
        experiment_id: the first experiment that fits the winner on the whole training part of the outer fold.
        outer_fold: from 0, over all repeats.
        configuration: the winner; null where no configuration has a score, and nothing is fitted.
        metric: what decided, such as `val/f1_macro`.
        best: whether its smallest or its largest value is the best.
        rule: `best`, or `one_standard_error`: the first configuration within one standard error of the best.
        score: mean of the winner over its inner experiments.
        num_failed: inner experiments of this outer fold that have no score.
        num_configurations: how many there are.
        scores: of each configuration, the best first; the first 200 where there are more.
    """

    event_type: ClassVar[str] = "selection_made"
    grid_search_id: str
    experiment_id: int
    outer_fold: int
    configuration: int | None
    metric: str
    best: Literal["min", "max"]
    rule: Literal["best", "one_standard_error"] = "best"
    score: float | None
    num_failed: int
    num_configurations: int
    scores: list[ConfigurationScore]


class SearchDecision(Payload, kw_only=True, frozen=True):
    """The strategy of a search was asked what comes next, and said it.

    Together with `search_result`, in their order, it is all that a strategy was ever told and asked, so that a search
    goes on after a crash where it was. `experiment_id` is the first experiment of the trial; null for the end.

    Args:
        action: `try` a new configuration, `promote` a trial to more epochs, `stop` one for good, `finish` the search.
        trial: which one, numbered in the order in which they were tried, from 0; null for the end.
        epochs: how many epochs the trial has behind it then; null for all of its config.
        rung: the place of `epochs` among those at which trials are compared, from 0; null where there are none.
        choices: of a new configuration: for each parameter, by the place where its sweep is written, the number of the
            chosen value, from 0.
        parameters: the same as values, by short key.
        score: of the trial, as far as it is known.
        reason: why, in words; empty where there is nothing to say.
    """

    event_type: ClassVar[str] = "search_decision"
    grid_search_id: str
    experiment_id: int | None = None
    action: Literal["try", "promote", "stop", "finish"]
    trial: int | None = None
    epochs: int | None = None
    rung: int | None = None
    choices: dict[str, int] = {}
    parameters: dict[str, Any] = {}
    score: float | None = None
    reason: str = ""


class SearchResult(Payload, kw_only=True, frozen=True):
    """The strategy of a search was told what came of a trial.

    Args:
        experiment_id: the first experiment of the trial.
        trial: which one.
        epochs: how many epochs it was to have behind it; null for all of its config.
        score: the value of the metric that decides, the mean over its seeds; null where it has none.
        state: `paused`: it can go on; `ended`: it cannot, because all epochs are done or training stopped early;
            `failed`.
    """

    event_type: ClassVar[str] = "search_result"
    grid_search_id: str
    experiment_id: int
    trial: int
    epochs: int | None = None
    score: float | None = None
    state: Literal["paused", "ended", "failed"]


class TrainingStopped(Payload, kw_only=True, frozen=True):
    """Training ended before its last epoch, with the reason that early stopping gave.

    Args:
        reason: what the rule says, such as that a metric did not improve for so many epochs.
    """

    event_type: ClassVar[str] = "training_stopped"
    grid_search_id: str
    experiment_id: int
    epoch: int
    step: int
    reason: str


class Log(Payload, kw_only=True, frozen=True):
    """A line that somebody logged or printed; `experiment_id` is null for the driver.

    Args:
        level: `debug`, `info`, `warning`, `error` or `critical`; printed lines are `info` or `warning` (stderr).
        logger: name of the logger; `stdout` or `stderr` for printed lines.
        message: the line.
    """

    event_type: ClassVar[str] = "log"
    grid_search_id: str
    experiment_id: int | None
    level: str
    logger: str
    message: str


class SystemMetrics(Payload, kw_only=True, frozen=True):
    """Load of one experiment's process since the last one: every second in the first ten, then every 5 s.

    Args:
        steps_per_s: training steps in a second.
        rss_bytes: memory of the process that is in RAM.
        cpu_percent: processor time of all its threads; 100 is one core that is busy all the time.
        gpu_percent: share of the time in which its GPU did anything, whoever asked for it; null where nobody tells.
        gpu_memory_bytes: memory of the GPU that the process holds; null without one.
    """

    event_type: ClassVar[str] = "system_metrics"
    grid_search_id: str
    experiment_id: int
    steps_per_s: float
    rss_bytes: int
    cpu_percent: float | None = None
    gpu_percent: float | None = None
    gpu_memory_bytes: int | None = None


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The envelope: one JSON object a line.

    Args:
        event_type: which payload this is.
        creation_ts: microseconds since the epoch, UTC.
        payload: the payload, as JSON-able data.
        producer: uuid (hex) of the process that made the event; old events have none.
        seq: 0, 1, 2 ... per producer.
    """

    event_type: str
    creation_ts: int
    payload: Any
    producer: str | None = None
    seq: int | None = None


def finite(score: float) -> tuple[float | None, Literal["nan", "inf", "-inf"] | None]:
    """Gives (score, None) for a number, and (None, its name) for NaN and infinities, which JSON cannot carry."""
    if math.isfinite(score):
        return score, None
    return None, "nan" if math.isnan(score) else "inf" if score > 0 else "-inf"


class RunAnnotated(Payload, kw_only=True, frozen=True):
    """Somebody named, tagged or wrote notes on a run; null leaves a field as it was. In the storage's `.notes.log`.

    Args:
        name: what to call the run; empty for what its config calls it.
        tags: all of its tags.
        notes: free text, Markdown.
    """

    event_type: ClassVar[str] = "run_annotated"
    grid_search_id: str
    name: str | None = None
    tags: list[str] | None = None
    notes: str | None = None


class RunTrashed(Payload, kw_only=True, frozen=True):
    """A run was moved to the trash of its storage. In the storage's `.notes.log`.

    Args:
        number: which of the runs of this id in the trash it is, from 0.
    """

    event_type: ClassVar[str] = "run_trashed"
    grid_search_id: str
    number: int


class RunRestored(RunTrashed, kw_only=True, frozen=True):
    """A run was taken out of the trash (`run_restored`); the fields are those of `run_trashed`."""

    event_type: ClassVar[str] = "run_restored"
