"""The page of one experiment, for people and as data."""

from __future__ import annotations

import json

import pytest

from mlgym.display.experiment_page import experiment_details, experiment_page
from mlgym.display.output import print_json
from tests.display.states import HOSTILE, RUN_ID, UNSAFE, config, done, event, job, scores, started, state_of


def test_the_page_tells_everything_there_is() -> None:
    """Status, device, epochs, duration, why it stopped, what was swept, config, metrics, output."""
    state = state_of(
        started(1),
        config(0, {"optimizer.lr": 0.1}),
        job("RUNNING", device="cuda:1"),
        event("log", level="info", logger="stdout", message="hello"),
        *[scores(epoch, epoch / 10) for epoch in range(1, 9)],
        event("training_stopped", epoch=8, step=80, reason="enough"),
        done(0, 125, device="cuda:1"),
    )
    page = experiment_page(state.experiments[0])
    assert page.startswith(
        "experiment 0: done, on cuda:1, epochs 8/10 stopped, 2m 05s\nstopped early: enough\nswept: optimizer.lr=0.1\n"
    )
    assert "early_stopping: {use: patience, metric: val/f1, best: max, epochs: 2}" in page
    assert "  val/f1        0.3        0.4        0.5        0.6        0.7        0.8" in page
    assert page.endswith("output, the last lines:\n  hello")


def test_a_failed_one_has_stack_trace_signal_and_last_words() -> None:
    """The whole trace, how the process ended, and what it printed before."""
    trace = 'Traceback (most recent call last):\n  File "x.py", line 3\nValueError: no'
    state = state_of(
        started(1),
        done(0, 2, error="ValueError: no", stacktrace=trace, exit_signal="SIGSEGV", log_tail=["first", "last"]),
    )
    page = experiment_page(state.experiments[0])
    assert "experiment 0: failed, 2.0 s, ended by SIGSEGV" in page
    assert '  Traceback (most recent call last):\n    File "x.py", line 3\n  ValueError: no' in page
    assert page.endswith("  first\n  last")
    details = experiment_details(state.experiments[0])
    assert (details["error"], details["exit_signal"], details["stacktrace"]) == ("ValueError: no", "SIGSEGV", trace)
    assert details["log_tail"] == ["first", "last"]


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_stays_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing out of a log drives the terminal or floods it, and the same facts are valid JSON."""
    state = state_of(
        started(1),
        event("experiment_config", config={"text": text.encode(errors="replace").decode()}, swept={text: text}),
        scores(1, 0.5, 0, {text: 1.0}),
        event("log", level=text, logger=text, message=text),
        event("training_stopped", epoch=1, step=1, reason=text),
        done(
            0, error=text or "error", stacktrace=f"{text}\n{text}", exit_signal=text, log_tail=[text] * 3, device=text
        ),
    )
    page = experiment_page(state.experiments[0])
    assert not set(page) & {*UNSAFE}
    page.encode()
    without_config = page.partition("metrics, ")[2]
    assert len(without_config) < 20_000
    print_json(experiment_details(state.experiments[0]))
    assert json.loads(capsys.readouterr().out)["experiment_id"] == 0


def test_one_that_waits_is_one_line() -> None:
    """Nothing is said where nothing is known."""
    state = state_of(started(1), {"event_type": "job_status", "payload": {"experiment_id": 0, "status": "INIT"}})
    assert experiment_page(state.experiments[0]) == "experiment 0: waiting"
    assert state.run_id == RUN_ID
