"""Tests of what a run says at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlgym.cli.outcome import ways_on
from mlgym.events import fold

RUN = {"grid_search_id": "run"}


def state_of(role: str, *, winner: int | None) -> Any:
    trial = {"role": role, "configuration": 0, "outer_fold": 0}
    events: list[tuple[str, dict[str, Any]]] = [
        ("run_started", {"num_experiments": 1, "validation_mode": "nested_cross_validation"}),
        ("experiment_config", {"experiment_id": 0, "config": {}, "trial": trial}),
        ("job_status", {"experiment_id": 0, "status": "DONE", "error": "broken", "starting_time": 1.0}),
        ("selection_made", {"outer_fold": 0, "configuration": winner, "metric": "val/loss", "best": "min"}),
        ("run_finished", {"num_succeeded": 0, "num_failed": 1}),
    ]
    return fold(
        (number, {"event_type": kind, "creation_ts": number, "payload": {**RUN, **payload}})
        for number, (kind, payload) in enumerate(events)
    )


@pytest.mark.parametrize(
    ("role", "winner", "is_offered"),
    [("inner", 1, False), ("inner", None, True), ("outer", 1, True), ("grid", None, True)],
)
def test_failed_competitors_of_a_winner(role: str, winner: int | None, is_offered: bool, tmp_path: Path) -> None:
    """Trying again is offered where it would do something: not for competitors in an outer fold that has a winner."""
    state = state_of(role, winner=winner)
    assert state.counts["failed"] == 1
    assert any("--retry-failed" in line for line in ways_on("run", state, tmp_path)) == is_offered


def test_where_it_failed_is_told_where_python_knows(tmp_path: Path) -> None:
    """The message of an error is often not its place; what was killed has none."""
    state = state_of("grid", winner=None)
    assert not any("where it failed" in line for line in ways_on("run", state, tmp_path))
    state.experiments[0].stacktrace = "Traceback (most recent call last): ..."
    assert f"where it failed: mlgym show run --storage {tmp_path} -e 0" in ways_on("run", state, tmp_path)
