"""Events as lines."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from mlgym.display import event_lines
from mlgym.display.event_lines import event_line
from mlgym.events import Payload, types
from tests.display.states import HOSTILE, UNSAFE, config, done, event, job, progress, scores, started


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (started(3), "run 2026-11-23--16-14-30 started: digits, 3 experiments"),
        (event("run_started", None, name="digits", num_experiments=1, reproduces="first"),
         "run 2026-11-23--16-14-30 started: digits, 1 experiment, a repetition of run first"),
        (config(0, {"optimizer.lr": 0.1}), "config optimizer.lr=0.1"),
        (event("experiment_config", config={}, swept={"lr": 1}, trial={
            "role": "inner", "outer_fold": 1, "fold": 0, "seed_index": 0, "seed": 4}),
         "config lr=1, outer fold 1, inner fold 0, seed 4"),
        (event("experiment_config", config={}, trial={"role": "outer", "outer_fold": 1, "fold": None, "seed": 4}),
         "config outer fold 1, fit of the winner"),
        (event("experiment_config", config={}, trial={"role": "fold", "fold": 3}), "config fold 3"),
        (event("experiment_config", config={}, trial={"role": "grid", "fold": None, "seed": 4}), "config"),
        (job("INIT"), "scheduled"),
        (job("RUNNING", device="cuda:0"), "running on cuda:0"),
        (done(0, 2), "done in 2.0 s"),
        (done(0, error="ValueError: no\nmore"), "failed: ValueError: no"),
        (done(0, error="x", interrupted=True), "interrupted"),
        (scores(3, 0.91234), "epoch 3: val/f1 0.9123"),
        (event("evaluation_result", epoch=1, step=1, loss_scores=[], metric_scores=[
            {"metric": "f1", "split": "val", "score": None, "non_finite": "nan"}]), "epoch 1: val/f1 nan"),
        (event("evaluation_result", epoch=0, step=7, loss_scores=[], metric_scores=[
            {"metric": "f1", "split": "val", "score": 0.5}]), "step 7: val/f1 0.5"),
        (progress(2, 50, 0), "train epoch 3/10, train 50/100"),
        (progress(10, 5, 0, status="evaluation", current_split="val"), "evaluation epoch 10/10, val 5/100"),
        (progress(0, 5, 0, status="evaluation", current_split="val"), "evaluation epoch 0/10, val 5/100"),
        (event("training_stopped", epoch=1, step=2, reason="enough"), "stopped early: enough"),
        (event("data_fingerprint", split="val", num_samples=90, sha256="ab" * 32, covers="sampled"),
         "data val: 90 samples, abababababababab, sampled"),
        (event("data_fingerprint", split="val", num_samples=3, sha256="ab" * 32, covers="all", classes={"a": 3}),
         "data val: 3 samples, 1 classes, abababababababab"),
        (event("model_summary", name="Net", num_parameters=1234), "model Net: 1,234 parameters"),
        (event("selection_made", outer_fold=2, configuration=1, metric="val/f1", score=0.9, num_failed=0),
         "outer fold 2: configuration 1 is selected, val/f1 0.9 on average"),
        (event("selection_made", outer_fold=2, configuration=None, metric="val/f1", score=None, num_failed=3),
         "outer fold 2: no configuration can be selected; 3 inner experiments have no score"),
        (event("search_decision", action="try", trial=3, epochs=1, parameters={"lr": 0.1}, reason=""),
         "search tries trial 3 until epoch 1 (lr=0.1)"),
        (event("search_decision", action="promote", trial=3, epochs=9, reason="1st of 3"),
         "search goes on with trial 3 until epoch 9: 1st of 3"),
        (event("search_decision", action="stop", trial=3, epochs=None, reason="median"),
         "search stops trial 3: median"),
        (event("search_decision", None, action="finish", trial=None, epochs=None, reason="all are tried"),
         "search finished: all are tried"),
        (event("search_result", trial=3, state="paused", epochs=1, score=0.25),
         "trial 3 paused at epoch 1, score 0.25"),
        (event("experiment_resumed", epoch=3, step=30, path=None), "goes on after epoch 3 from the start"),
        (event("reproduction_verdict", new_run_id="b", original_run_id="a", verdict="diverged", epoch=2, step=20),
         "b repeats a: diverged, parts in epoch 2 at step 20"),
        (event("from_the_future", epoch=3), "from_the_future {"),
        (event("run_finished", None, num_succeeded=2, num_failed=0, num_interrupted=0, num_not_started=1),
         "run finished: 2 succeeded, 1 not started"),
        (event("log", level="WARNING", logger="stderr", message="a [red]b"), "warning stderr: a [red]b"),
    ],
)  # fmt: skip
def test_what_each_event_says(one: dict[str, Any], text: str) -> None:
    """Its time, whose it is, and what happened in the words of the field."""
    line = event_line(one)
    who = one["payload"].get("experiment_id")
    assert line[12:].startswith(f"  {'' if who is None else who:>4}  {text}")
    assert line[2] == line[5] == ":"


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_stays_on_one_line(text: str) -> None:
    """Whatever an event holds, it is one bounded line without control characters."""
    events = [
        event("log", level=text, logger=text, message=text),
        event(text, note=text),
        event("training_stopped", reason=text, epoch=1, step=1),
        event("checkpoint_saved", path=text, reasons=[text]),
        config(0, {text: text}),
        done(0, error=text or "x"),
        job("RUNNING", device=text),
        started(1, text),
    ]
    for one in events:
        line = event_line(one)
        assert not set(line) & {*UNSAFE, "\n"}
        assert len(line) <= 2000
        line.encode()


@pytest.mark.parametrize(
    "nonsense",
    [
        None, 7, [], {}, {"event_type": None, "payload": None}, {"event_type": "job_status", "payload": {}},
        {"event_type": "log", "creation_ts": 1e300, "payload": {"level": 3}},
        {"event_type": "log", "creation_ts": "now", "payload": {"level": [], "experiment_id": {"a": 1}}},
        {"event_type": "evaluation_result", "payload": {"metric_scores": 3}},
        {"event_type": "run_finished", "creation_ts": 0, "payload": {"num_failed": "many"}},
        {"event_type": "checkpoint_saved", "creation_ts": 0, "payload": {"path": 1, "reasons": [1]}},
        {"event_type": "digest", "creation_ts": 0, "payload": {"parameters": 1, "step": 1}},
    ],
)  # fmt: skip
def test_nonsense_is_a_line_too(nonsense: Any) -> None:
    """Old, newer and damaged events are shown as far as they can be; nothing raises."""
    assert isinstance(event_line(nonsense), str)


def test_every_event_type_has_words() -> None:
    """A new event type that nobody gave a text is noticed here."""
    kinds = [
        one for _, one in inspect.getmembers(types, inspect.isclass) if issubclass(one, Payload) and one is not Payload
    ]
    assert len(kinds) > 10
    assert {one.event_type for one in kinds} <= set(event_lines._TEXTS)
