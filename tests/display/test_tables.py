"""The tables of runs and experiments: what they say, in which width, and whom they trust."""

from __future__ import annotations

from typing import Any

import pytest

from mlgym.display.progress import status_line
from mlgym.display.standing import Standing
from mlgym.display.tables import epochs_text, experiment_facts, experiments_table, run_facts, runs_table
from mlgym.events import RunState
from mlgym.texts import NOTHING
from mlgym.validation import default_selection, rank
from tests.display.pages import printed
from tests.display.states import HOSTILE, UNSAFE, config, done, event, job, scores, started, state_of

AGAIN: dict[str, Any] = {"original_run_id": "first", "new_run_id": "again", "num_digests": 3}
STOPPED = "`val/f1` did not improve for 2 epochs (best 0.9 at epoch 3)"


def table(state: RunState, width: int = 120) -> list[str]:
    return printed(experiments_table(state, default_selection(state)), width)


def facts(state: RunState) -> list[dict[str, Any]]:
    return [experiment_facts(one) for one in rank(state, default_selection(state))]


def stopped_and_failed() -> RunState:
    return state_of(
        started(3),
        config(0, {"optimizer.lr": 0.1, "model.num_channels": 4}),
        scores(3, 0.9, 0, {"loss": 0.25}),
        scores(5, 0.5, 0, {"loss": 0.5}),
        event("training_stopped", epoch=5, step=50, reason=STOPPED),
        done(0),
        config(1, {"optimizer.lr": 0.01, "model.num_channels": 4}),
        scores(10, 0.8, 1, {"loss": 0.75}),
        done(1, 125),
        config(2, {"optimizer.lr": 0.001, "model.num_channels": 4}),
        done(2, 1, error="worker was killed by SIGKILL\nmore", exit_signal="SIGKILL", log_tail=["last words"]),
    )


def test_swept_columns_stand_as_in_the_grid() -> None:
    """The order is that of the first experiment, whichever is the best."""
    state = state_of(
        started(2),
        config(0, {"model.width": 4, "optimizer.lr": 0.1}),
        scores(1, 0.5, 0),
        done(0),
        config(1, {"optimizer.lr": 0.1, "model.depth": 2}),
        scores(1, 0.9, 1),
        done(1),
    )
    lines = table(state)
    assert lines[0].split()[2:5] == ["model.width", "optimizer.lr", "model.depth"]
    assert lines[1].split()[0] == "1"


def test_repetitions_are_told_from_other_runs() -> None:
    """In the list of runs, in its JSON, and in progress, which counts no experiments that are not to run."""
    opening = started(3)
    opening["payload"]["reproduces"] = "first"
    state = state_of(opening, config(2), done(2))
    assert "digits (repetition)" in printed(runs_table([("again", state)]), 120)[1]
    assert run_facts("again", state)["reproduces"] == "first"
    assert status_line(state, state.experiments[2], Standing()) == "experiment 2 done in 1m 00s"
    assert run_facts("first", state_of(started()))["reproduces"] is None


def test_early_stopping_is_told() -> None:
    """In the table beside the epochs, in JSON with the reason; an experiment that ran to its end has neither."""
    state = stopped_and_failed()
    lines = table(state)
    assert "5/10 stopped" in lines[1]
    assert "stopped" not in lines[2]
    assert [one["stop_reason"] for one in facts(state)] == [STOPPED, None, None]
    assert [epochs_text(one) for one in state.experiments.values()] == ["5/10 stopped", "10", NOTHING]


def test_failed_experiments_have_their_error_and_signal() -> None:
    """Below the table by number, in JSON as a whole; interrupted ones are no failures."""
    state = stopped_and_failed()
    assert table(state)[-1] == "experiment 2: worker was killed by SIGKILL"
    failed = facts(state)[-1]
    assert (failed["error"], failed["exit_signal"], failed["rank"]) == (
        "worker was killed by SIGKILL\nmore",
        "SIGKILL",
        None,
    )
    interrupted = table(state_of(started(1), config(0), scores(1, 0.5), done(0, error="interrupted", interrupted=True)))
    assert "interrupted" in interrupted[1]
    assert len(interrupted) == 2


def test_many_failures_of_one_kind_are_one_line() -> None:
    """A fault in the config that fails every experiment is not told a hundred times."""
    failures = [done(number, 1, error="ValueError: no") for number in range(100)]
    assert table(state_of(started(100), *failures))[-1] == (
        "experiments 0, 1, 2, 3, 4, 5, 6, 7 and 92 more: ValueError: no"
    )
    each = table(state_of(started(30), *[done(number, 1, error=f"ValueError: {number}") for number in range(30)]))
    assert each[-1] == "... and 10 more errors"


@pytest.mark.parametrize(
    ("width", "head"),
    [
        (120, "id status optimizer.lr model.num_channels best val/f1 at epoch val/f1 val/loss epochs time"),
        (90, "id status lr num_channels val/f1 epoch val/f1 val/loss epochs time"),
        (74, "id status lr num_channels val/f1 epoch epochs time"),
        (64, "id status lr num_channels val/f1 epoch epochs"),
        (58, "id status lr num_channels val/f1 epochs"),
        (50, "id lr num_channels val/f1 epochs"),
    ],
)
def test_a_narrow_page_leaves_details_out_and_cuts_nothing(width: int, head: str) -> None:
    """Names, values and that training was stopped stay whole; every experiment has one line."""
    lines = table(stopped_and_failed(), width)
    at = next(number for number, line in enumerate(lines) if line.split()[:1] == ["id"])
    assert lines[at].split() == head.split()
    assert all(len(line) <= width for line in lines)
    assert not any("…" in line for line in lines)
    assert "5/10 stopped" in lines[at + 1]
    assert [line.split()[0] for line in lines[at + 1 : at + 4]] == ["0", "1", "2"]
    # Never by colour alone, and never by the word alone.
    assert ["✓" in line for line in lines[at + 1 : at + 4]] == [True, True, False]


def test_runs_that_were_run_again_say_what_came_of_it() -> None:
    """The gravest verdict, of how many; runs that nobody ran again have no such column."""
    plain = state_of(started(2), config(0), done(0))
    once = [started(2), config(0), done(0), event("reproduction_verdict", verdict="identical", **AGAIN)]
    twice = [*once, config(1), event("reproduction_verdict", 1, verdict="diverged", epoch=4, **AGAIN)]
    assert "run again" not in printed(runs_table([("plain", plain)]), 150)[0]
    lines = printed(runs_table([("plain", plain), ("once", state_of(*once)), ("twice", state_of(*twice))]), 150)
    assert "run again" in lines[0]
    assert ["identical" in line for line in lines[1:]] == [False, True, False]
    assert "1 of 2 diverged in epoch 4" in lines[3]
    assert run_facts("plain", plain)["reproduction"] is None
    assert run_facts("twice", state_of(*twice))["reproduction"]["num_identical"] == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_stays_text(text: str) -> None:
    """Names, values, metrics and errors out of a log neither drive the terminal nor break a line."""
    state = state_of(
        started(2, text),
        config(0, {text or "key": text}),
        scores(1, 0.5, 0, {text: 0.5}),
        done(0),
        config(1, {text or "key": [text]}),
        done(1, error=f"ValueError: {text}", exit_signal=text),
    )
    shown = "\n".join([*table(state, 2000), *printed(runs_table([("run", state)]), 2000)])
    assert not set(shown) & {*UNSAFE}
    assert len(shown) < 20_000
    shown.encode()
    if text.startswith("[red]"):
        assert "[red]markup[/red]" in shown


def test_a_run_without_experiments_has_no_table() -> None:
    """Nothing is shown where there is nothing, instead of heads alone."""
    assert table(state_of(started(4))) == [""]


def test_runs_in_all_widths() -> None:
    """The id is whole in every width: the next command needs it."""
    state = stopped_and_failed()
    run_id = "2026-11-23--16-14-30"
    again = event("reproduction_verdict", verdict="diverged", epoch=4, **AGAIN)
    for width in (200, 100, 70, 50, 40):
        lines = printed(runs_table([(run_id, state), (run_id, state_of(started(1), config(0), done(0), again))]), width)
        assert len(lines) == 3
        assert all(run_id in line for line in lines[1:])
        assert all(len(line) <= width for line in lines)
    wide = printed(runs_table([(run_id, state)]), 200)[1]
    assert "2/3" in wide
    assert "val/f1 0.9" in wide
    told = run_facts(run_id, state)
    assert told["best"] == {"metric": "val/f1", "value": 0.9, "experiment_id": 0, "epoch": 3}
    assert (told["num_experiments"], told["counts"]["failed"]) == (3, 1)


def test_statuses_have_marks() -> None:
    """A status is told by its mark and its word, an unknown one too."""
    state = state_of(started(5), config(0), job("INIT", 0), config(1), job("RUNNING", 1), done(2), done(3, error="x"))
    marks = {line.split()[0]: line.split()[1:3] for line in table(state)[1:5]}
    assert marks == {"0": ["·", "waiting"], "1": ["●", "running"], "2": ["✓", "done"], "3": ["✕", "failed"]}
