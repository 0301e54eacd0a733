"""Everything that is known of one experiment: as text for people, as plain data for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from mlgym.config import dump_yaml
from mlgym.display.tables import epochs_text, progress_unit, steps_text
from mlgym.display.trial_text import trial_words
from mlgym.events import ExperimentState
from mlgym.texts import duration, key_text, number, one_line, plain, value_text

_MAX_LOG_LINES: Final = 40
_MAX_TRACE_LINE: Final = 2000
_MAX_VALUES: Final = 6


def experiment_page(experiment: ExperimentState) -> str:
    """Gives status, config, metrics, the error with its stack trace, and the last lines of output."""
    parts = [_head(experiment)]
    if experiment.config:
        parts.append("config:\n" + _indented(plain(dump_yaml(experiment.config))))
    if experiment.metrics:
        parts.append("metrics, the last values:\n" + _metrics(experiment))
    if experiment.artifacts:
        parts.append("artifacts, the last of each name:\n" + _artifacts(experiment))
    if experiment.error:
        trace = (experiment.stacktrace or experiment.error).strip("\n").split("\n")
        parts.append("error:\n" + _indented("\n".join(one_line(line, _MAX_TRACE_LINE) for line in trace)))
    lines = experiment.log_tail or [line.message for line in experiment.recent_logs]
    if lines:
        shown = "\n".join(one_line(line, 1000) for line in lines[-_MAX_LOG_LINES:])
        parts.append("output, the last lines:\n" + _indented(shown))
    return "\n\n".join(parts)


def experiment_details(experiment: ExperimentState) -> dict[str, Any]:
    """Gives what `mlgym show RUN --experiment N --json` says."""
    histories = {
        key: {"epochs": list(history.epochs), "steps": list(history.steps), "values": list(history.values)}
        for key, history in experiment.metrics.items()
    }
    names = (
        "experiment_id", "status", "swept", "device", "attempt", "started_at", "attempt_started_at", "finished_at",
        "duration_s", "stop_reason", "error", "exit_signal", "stacktrace", "log_tail", "config",
    )  # fmt: skip
    facts = {name: getattr(experiment, name) for name in names}
    reproduction = asdict(experiment.reproduction) if experiment.reproduction else None
    return facts | {
        "checkpoints": list(experiment.checkpoints), "artifacts": list(map(asdict, experiment.artifacts.values())),
        "metrics": histories, "reproduction": reproduction,
    }  # fmt: skip


def _head(experiment: ExperimentState) -> str:
    facts: list[str] = [experiment.status]
    if experiment.device:
        facts.append(f"on {one_line(experiment.device, 40)}")
    if experiment.metrics:
        in_steps = progress_unit([experiment]) == "step"
        facts.append(f"steps {steps_text(experiment)}" if in_steps else f"epochs {epochs_text(experiment)}")
    if experiment.duration_s is not None:
        facts.append(_duration_text(experiment, experiment.duration_s))
    if experiment.exit_signal:
        facts.append(f"ended by {one_line(experiment.exit_signal, 40)}")
    lines = [f"experiment {experiment.experiment_id}: {', '.join(facts)}"]
    if experiment.stop_reason:
        lines.append(f"stopped early: {one_line(experiment.stop_reason)}")
    if experiment.reproduction is not None:
        from mlgym.validation.report import reproduction_text

        lines.append(f"reproduced: {reproduction_text(experiment.reproduction)}")
    swept = ", ".join(f"{key_text(key)}={value_text(value)}" for key, value in experiment.swept.items())
    what = ", ".join(trial_words(experiment.trial))
    return "\n".join([*lines, *([f"swept: {swept}"] if swept else []), *([f"trial: {what}"] if what else [])])


def _duration_text(experiment: ExperimentState, duration_s: float) -> str:
    """Gives how long its attempts took, and where there were several, how long that was from the first start."""
    if not experiment.earlier_s or experiment.started_at is None or experiment.finished_at is None:
        return duration(duration_s)
    whole = duration(experiment.finished_at - experiment.started_at)
    return f"{duration(duration_s)} in {experiment.attempt + 1} attempts, within {whole}"


def _metrics(experiment: ExperimentState) -> str:
    names = {key: key_text(key) for key in experiment.metrics}
    width = max(map(len, names.values()))
    lines = []
    for key, history in experiment.metrics.items():
        values = "  ".join(f"{number(value):>9}" for value in history.values[-_MAX_VALUES:])
        lines.append(f"  {names[key]:<{width}}  {values}")
    return "\n".join(lines)


def _artifacts(experiment: ExperimentState) -> str:
    lasts = {one.name: one for one in experiment.artifacts.values()}
    lines = []
    for name, one in lasts.items():
        versions = f" ({one.version + 1} of them)" if one.version else ""
        files = ", ".join(f"{one.path}/{file}" for file in one.sha256)
        lines.append(f"  {key_text(one.kind)} {key_text(name)}{versions}: {one_line(files)}")
    return "\n".join(lines)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().split("\n"))
