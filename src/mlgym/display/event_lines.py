"""One event as a line that people read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from mlgym.display.trial_text import trial_words
from mlgym.texts import first_line, key_text, number, one_line, value_text

_MAX_LENGTH: Final = 2000


def event_line(event: Any) -> str:
    """Gives `16:21:07.123  3  what happened`; unknown events show their type and the beginning of their payload."""
    event = event if isinstance(event, dict) else {}
    payload = event.get("payload") if isinstance(event.get("payload"), dict) else {}
    event_type = str(event.get("event_type"))
    try:
        clock = datetime.fromtimestamp(event.get("creation_ts", 0) / 1e6).strftime("%H:%M:%S.%f")[:-3]
        text = _TEXTS.get(event_type, _other(event_type))(payload)
    except (TypeError, ValueError, KeyError, OverflowError, OSError):
        clock, text = "--:--:--.---", _other(event_type)(payload)
    experiment = payload.get("experiment_id")
    who = "" if experiment is None else one_line(str(experiment), 8)
    return one_line(f"{clock}  {who:>4}  {text}", _MAX_LENGTH)


def _other(event_type: str) -> Callable[[dict[str, Any]], str]:
    return lambda payload: f"{event_type} {one_line(str(payload), 120)}"


def _started(payload: dict[str, Any]) -> str:
    count = payload["num_experiments"]
    experiments = f"{count} experiment{'' if count == 1 else 's'}"
    original = f", a repetition of run {payload['reproduces']}" if payload.get("reproduces") else ""
    return f"run {payload['grid_search_id']} started: {payload['name']}, {experiments}{original}"


def _job(payload: dict[str, Any]) -> str:
    if payload["status"] != "DONE":
        return {"INIT": "scheduled", "RUNNING": f"running on {payload.get('device') or 'some device'}"}.get(
            payload["status"], "?"
        )
    if payload.get("interrupted"):
        return "interrupted"
    if payload.get("error"):
        return f"failed: {first_line(payload['error'], 400)}"
    return f"done in {payload['finishing_time'] - payload['starting_time']:.1f} s"


def _scores(payload: dict[str, Any]) -> str:
    named = [(one["split"], one["metric"], one) for one in payload["metric_scores"]]
    named += [(one["split"], one["loss"], one) for one in payload["loss_scores"]]
    values = ", ".join(f"{split}/{name} {one.get('non_finite') or number(one['score'])}" for split, name, one in named)
    # A loop that is tracked may count nothing but steps.
    unit = "step" if not payload["epoch"] and payload.get("step") else "epoch"
    return f"{unit} {payload[unit]}: {values}"


def _progress(payload: dict[str, Any]) -> str:
    # While it is evaluated, an epoch counts as finished already.
    epoch = payload["current_epoch"] + (payload["status"] == "train")
    where = f"epoch {epoch}/{payload['num_epochs']}"
    return (
        f"{payload['status']} {where}, {payload['current_split']} {payload['current_batch']}/{payload['num_batches']}"
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _config(payload: dict[str, Any]) -> str:
    swept = [f"{key_text(key)}={value_text(value)}" for key, value in _mapping(payload.get("swept")).items()]
    return f"config {', '.join([*swept, *trial_words(_mapping(payload.get('trial')))])}".rstrip()


def _finished(payload: dict[str, Any]) -> str:
    kinds = ("succeeded", "failed", "interrupted", "not_started")
    counts = {kind.replace("_", " "): payload.get(f"num_{kind}") for kind in kinds}
    return "run finished: " + (", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "nothing ran")


def _load(payload: dict[str, Any]) -> str:
    cpu, gpu = (payload.get(f"{name}_percent") for name in ("cpu", "gpu"))
    shares = "".join(f", {name} {share:.0f} %" for name, share in (("cpu", cpu), ("gpu", gpu)) if share is not None)
    return f"{number(payload['steps_per_s'])} steps/s, {payload['rss_bytes'] / 2**20:.0f} MiB{shares}"


def _data(payload: dict[str, Any]) -> str:
    covers = "" if payload["covers"] == "all" else f", {payload['covers']}"
    classes = f", {len(payload['classes'])} classes" if payload.get("classes") else ""
    return f"data {payload['split']}: {payload['num_samples']} samples{classes}, {payload['sha256'][:16]}{covers}"


def _verdict(payload: dict[str, Any]) -> str:
    where = "" if payload.get("epoch") is None else f", parts in epoch {payload['epoch']}"
    where += f" at step {payload['step']}" if payload.get("step") is not None else ""
    return f"{payload['new_run_id']} repeats {payload['original_run_id']}: {payload['verdict']}{where}"


def _code(payload: dict[str, Any]) -> str:
    return f"runs other code than was recorded: {', '.join(change['key'] for change in payload['changes'])}"


def _selection(payload: dict[str, Any]) -> str:
    where = f"outer fold {payload['outer_fold']}"
    failed = f"; {payload['num_failed']} inner experiments have no score" if payload["num_failed"] else ""
    if payload["configuration"] is None:
        return f"{where}: no configuration can be selected{failed}"
    score = f"{payload['metric']} {number(payload['score'])} on average"
    return f"{where}: configuration {payload['configuration']} is selected, {score}{failed}"


def _decision(payload: dict[str, Any]) -> str:
    trial = f"trial {payload['trial']}"
    until = "" if payload.get("epochs") is None else f" until epoch {payload['epochs']}"
    reason = f": {first_line(payload['reason'], 300)}" if payload.get("reason") else ""
    match payload["action"]:
        case "try":
            values = [f"{key_text(key)}={value_text(value)}" for key, value in _mapping(payload["parameters"]).items()]
            return f"search tries {trial}{until} ({', '.join(values)}){reason}"
        case "promote":
            return f"search goes on with {trial}{until}{reason}"
        case "stop":
            return f"search stops {trial}{reason}"
    return f"search finished{reason}"


def _result(payload: dict[str, Any]) -> str:
    score = "no score" if payload["score"] is None else f"score {number(payload['score'])}"
    at = "" if payload.get("epochs") is None else f" at epoch {payload['epochs']}"
    return f"trial {payload['trial']} {payload['state']}{at}, {score}"


_TEXTS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "run_started": _started,
    "run_resumed": lambda p: f"run {p['grid_search_id']} resumed",
    "run_finished": _finished,
    "run_annotated": lambda p: f"run {p['grid_search_id']} was named, tagged or described",
    "run_trashed": lambda p: f"run {p['grid_search_id']} was moved to the trash",
    "run_restored": lambda p: f"run {p['grid_search_id']} was taken out of the trash",
    "environment": lambda p: "environment recorded",
    "experiment_config": _config,
    "job_status": _job,
    "experiment_status": _progress,
    "evaluation_result": _scores,
    "checkpoint_saved": lambda p: f"checkpoint {p['path']} ({', '.join(p['reasons'])})",
    "artifact_saved": lambda p: f"{p['kind']} {p['name']}: {p['path']}",
    "checkpoint_deleted": lambda p: f"checkpoint {p['path']} deleted",
    "training_stopped": lambda p: f"stopped early: {p['reason']}",
    "digest": lambda p: f"digest {p['parameters'][:16]} after step {p['step']}",
    "system_metrics": _load,
    "data_fingerprint": _data,
    "model_summary": lambda p: f"model {p['name']}: {p['num_parameters']:,} parameters",
    "experiment_resumed": lambda p: f"goes on after epoch {p['epoch']} from {p['path'] or 'the start'}",
    "code_changed": _code,
    "reproduction_verdict": _verdict,
    "selection_made": _selection,
    "search_decision": _decision,
    "search_result": _result,
    "log": lambda p: f"{p['level'].lower()} {p['logger']}: {p['message']}",
}
