"""Whole searches with real training: promoted is as if never paused, killed as if never killed, and it reproduces."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlgym.api import Run, load_run, resume, run
from mlgym.api.reproduction import reproduce
from mlgym.config import dump_yaml
from mlgym.events import read_log
from mlgym.tracking import RunFolder
from tests.programs import environment
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONFIG: dict[str, Any] = {
    "version": 1,
    "extends": "preset/classification",
    "name": "search",
    "seed": 3,
    "components": {
        "data": {"use": "digits"},
        "model": {"use": "mlp", "hidden": [16], "dropout": 0.2},
        "optimizer": {"use": "adam", "model": "$model", "lr": {"sweep": {"log_uniform": [1e-4, 1e-1]}}},
        "schedule": {"use": "cosine_annealing_lr", "optimizer": "$optimizer", "T_max": 4},
        "trainer": {"lr_scheduler": "$schedule"},
    },
    "experiment": {"epochs": 4, "early_stopping": []},
    "validation": {
        "mode": "search",
        "strategy": {"use": "asha", "reduction_factor": 2},
        "num_trials": 5,
        "select": {"metric": "val/f1_macro", "best": "max"},
    },
}


def digests(storage: Path, run_id: str = "run") -> dict[tuple[int, int], str]:
    """The digest of each experiment after each epoch, as often as it stands in the log."""
    found: dict[tuple[int, int], str] = {}
    for _, event in read_log(RunFolder(storage, run_id).log_path):
        if event["event_type"] == "digest":
            payload = event["payload"]
            key = payload["experiment_id"], payload["epoch"]
            assert found.setdefault(key, payload["parameters"]) == payload["parameters"]
    return found


def steps(of: Run) -> list[tuple[Any, ...]]:
    return [(one.action, one.trial, one.epochs, one.choices, one.score, one.state) for one in of.state.search]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search that nobody disturbed."""
    storage = tmp_path_factory.mktemp("whole")
    return run(CONFIG, storage=storage, run_id="run", executor="inline", progress=False)


def test_reproducing_trains_without_a_pause(whole: Run) -> None:
    """Each trial runs in one go to the epoch that the search left it at: the same bits; the strategy decides again.

    What it was asked and told is the same by the new results, and stands in the log of the new run.
    """
    verdicts = reproduce("run", experiments="all", storage=whole.path.parent, executor="inline", progress=False)
    assert {verdict.comparison.verdict for verdict in verdicts} == {"identical"}
    assert len(verdicts) == 5
    decisions = verdicts[0].decisions
    assert decisions is not None
    assert (decisions.are_the_same, decisions.from_new_results) == (True, True)
    assert decisions.num_recorded == sum(step[0] != "result" for step in steps(whole))
    again = load_run(verdicts[0].new_run_id, whole.path.parent)
    assert steps(again) == steps(whole)
    assert again.report().facts.search == whole.report().facts.search
    attempts = {key: (one.attempt, one.until_epoch) for key, one in again.state.experiments.items()}
    before = {key: (one.attempt, one.until_epoch) for key, one in whole.state.experiments.items()}
    assert {attempt for attempt, _ in attempts.values()} == {0}
    assert max(attempt for attempt, _ in before.values()) == 2
    assert {key: until for key, (_, until) in attempts.items()} == {key: until for key, (_, until) in before.items()}


def test_control_a_shorter_schedule_gives_other_bits(whole: Run) -> None:
    """What pausing must not do: a schedule over the epochs of a rung is another training."""
    storage = whole.path.parent
    verdicts = reproduce(
        "run", experiments=[0], changes=["schedule.T_max=1"], storage=storage, executor="inline", progress=False
    )
    assert [verdict.comparison.verdict for verdict in verdicts] != ["identical"]
    # One of five says nothing about what a strategy would decide: asked again is by what it was told then.
    decisions = verdicts[0].decisions
    assert decisions is not None
    assert (decisions.are_the_same, decisions.from_new_results) == (True, False)


def test_a_killed_driver_goes_on_the_same(whole: Run, tmp_path: Path) -> None:
    """SIGKILL while a trial is trained: the same decisions, the same bits, each once."""
    hold = tmp_path / "hold"
    hold.touch()
    # Of 40 in an epoch: in the second of the last two epochs of the trial that comes to the end.
    loss = {"use": "held_cross_entropy", "hold": str(hold), "after_batches": 50}
    components = {**CONFIG["components"], "loss": loss}
    (tmp_path / "config.yml").write_text(
        dump_yaml({**CONFIG, "imports": ["tests.held_loss"], "components": components})
    )
    command = [sys.executable, "-m", "mlgym", "run", "config.yml", "--storage", ".", "--run-id", "run"]
    _kill_after([*command, "--executor", "inline"], tmp_path, num_results=3)
    hold.unlink()
    finished = resume("run", storage=tmp_path, executor="inline", progress=False)
    assert finished.status == "finished"
    assert steps(finished) == steps(whole)
    assert digests(tmp_path) == digests(whole.path.parent)


def _kill_after(command: list[str], folder: Path, num_results: int) -> None:
    """Runs a driver, and kills it once so many results were told and the next experiment runs."""
    driver = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = folder / "run" / "event_storage.log"
    try:
        wait_for(lambda: driver.poll() is not None or (log.exists() and _runs_after(log, num_results)), 200)
        assert driver.poll() is None
    finally:
        driver.kill()
        driver.wait()


def _runs_after(log: Path, num_results: int) -> bool:
    whole_lines = log.read_bytes().rpartition(b"\n")[0].splitlines()
    kinds = [json.loads(line)["event_type"] for line in whole_lines]
    if kinds.count("search_result") < num_results:
        return False
    return "digest" in kinds[len(kinds) - kinds[::-1].index("search_result") :]
