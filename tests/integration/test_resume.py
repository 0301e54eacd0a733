"""Real runs that were killed, interrupted, changed and moved end with the same results as if nothing had been."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

import mlgym
from mlgym.api import Run
from mlgym.errors import RunError
from mlgym.events import RunState, read_log
from mlgym.execution import ConfigChangedError
from mlgym.tracking import RunFolder
from tests.programs import environment, is_alive
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONFIG: dict[str, Any] = {
    "version": 1,
    "extends": "preset/classification",
    "name": "small",
    "components": {
        "data": {"use": "digits"},
        "model": {"use": "mlp", "hidden": [16], "dropout": 0.2},
        "optimizer": {"use": "adam", "model": "$model", "lr": {"sweep": [1e-2, 1e-3]}},
        "loaders": {"batch_size": 16},
    },
    "experiment": {"epochs": 6, "early_stopping": [], "checkpoint_every_n_steps": 20},
}
_RESULTS = ("evaluation_result", "digest", "training_stopped", "data_fingerprint")


def results(storage: Path, run_id: str = "run") -> Counter[str]:
    """Each result in the log, as text, with how often it stands there."""
    found: Counter[str] = Counter()
    for _, event in read_log(RunFolder(storage, run_id).log_path):
        if event["event_type"] in _RESULTS:
            payload = {key: value for key, value in event["payload"].items() if key != "grid_search_id"}
            found[json.dumps([event["event_type"], payload], sort_keys=True)] += 1
    return found


def digests(storage: Path, run_id: str = "run") -> dict[int, Any]:
    """The last digest of each experiment."""
    state = RunFolder(storage, run_id).state()
    return {key: one.digest for key, one in state.experiments.items()}


def state(storage: Path) -> RunState:
    folder = RunFolder(storage, "run")
    return folder.state() if folder.log_path.exists() else RunState()


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mlgym", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(),
    )


def send_when(program: subprocess.Popen[str], signum: int, condition: Callable[[], object]) -> int:
    """Sends a signal once a condition holds, which must be before the program ends, and gives the exit code.

    What it started has ended, too.
    """
    wait_for(lambda: program.poll() is not None or condition())
    assert program.poll() is None, program.communicate()
    family = psutil.Process(program.pid).children(recursive=True)
    program.send_signal(signum)
    program.communicate(timeout=120)
    wait_for(lambda: not any(map(is_alive, family)))
    return program.returncode


def held(folder: Path, **options: Any) -> Path:
    """Writes the config, with a loss that waits while the file `hold` is beside it: see `tests.held_loss`."""
    hold, file = folder / "hold", folder / "held.yml"
    hold.touch()
    loss = {"use": "held_cross_entropy", "hold": str(hold), **options}
    components = {**CONFIG["components"], "loss": loss}
    file.write_text(json.dumps({**CONFIG, "imports": ["tests.held_loss"], "components": components}))
    return file


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config as a file, outside of any repository."""
    file = tmp_path_factory.mktemp("config") / "small.yml"
    file.write_text(json.dumps(CONFIG))
    return file


@pytest.fixture(scope="module")
def undisturbed(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage folder of a run that nothing happened to."""
    storage = tmp_path_factory.mktemp("undisturbed")
    run = mlgym.run(config, storage=storage, run_id="run", processes=2, progress=False)
    assert run.exit_code == 0
    assert set(results(storage).values()) == {1}
    return storage


def skip_where_sources_changed(run: Run) -> None:
    """Skips a test while which somebody worked on MLgym: its own source is a part of a run's surroundings."""
    if any("package mlgym:" in line.message for line in run.state.recent_logs):
        pytest.skip("the source of MLgym changed during the test")


def checkpoints_at(storage: Path, step: int) -> bool:
    """Whether an experiment has a checkpoint of that step or a later one."""
    stored = [one for each in state(storage).experiments.values() for one in each.checkpoints.values()]
    return any(one.step >= step for one in stored)


def test_killed_drivers_cost_nothing(undisturbed: Path, tmp_path: Path) -> None:
    """Killed three times in the middle of epochs, the log ends with each result of an undisturbed run exactly once."""
    # The log hears of a checkpoint once the next one is taken, at the latest: 20 steps later, and one more.
    command = ["run", str(held(tmp_path, after_batches=150)), "--run-id", "run", "--processes", "2"]
    for step in (100, 220, 340):
        program = start(*command, "--storage", str(tmp_path))
        assert send_when(program, signal.SIGKILL, partial(checkpoints_at, tmp_path, step)) == -9
        command = ["resume", "run"]
    (tmp_path / "hold").unlink()
    assert state(tmp_path).status == "crashed"
    resumed = mlgym.resume("run", storage=tmp_path, progress=False)
    assert (resumed.exit_code, resumed.status) == (0, "finished")
    assert max(each.attempt for each in resumed.state.experiments.values()) >= 1
    skip_where_sources_changed(resumed)
    assert results(tmp_path) == results(undisturbed)


def test_an_interrupted_run_goes_on_by_another_executor_elsewhere(undisturbed: Path, tmp_path: Path) -> None:
    """SIGUSR1 ends it with 130 and checkpoints; moved, and in this process, it ends as the undisturbed one did."""
    storage, config = tmp_path / "here", held(tmp_path, after_batches=45, at_most_s=1)
    program = start("run", str(config), "--run-id", "run", "--processes", "2", "--storage", str(storage))
    assert send_when(program, signal.SIGUSR1, lambda: checkpoints_at(storage, 20)) == 130
    (tmp_path / "hold").unlink()
    assert state(storage).status == "interrupted"
    shutil.move(storage, tmp_path / "there")
    resumed = mlgym.resume("run", storage=tmp_path / "there", executor="inline", progress=False)
    assert resumed.exit_code == 0
    skip_where_sources_changed(resumed)
    assert results(tmp_path / "there") == results(undisturbed)


def test_more_epochs_give_what_a_longer_run_gives(config: Path, undisturbed: Path, tmp_path: Path) -> None:
    """A finished run of three epochs that goes on to six ends with the weights of six."""
    mlgym.run(config, storage=tmp_path, run_id="run", overrides=["experiment.epochs=3"], progress=False)
    resumed = mlgym.resume("run", storage=tmp_path, epochs=6, progress=False)
    assert [one.state.attempt for one in resumed.experiments] == [1, 1]
    for experiment in resumed.experiments:
        assert list(experiment.history("val/loss").epochs) == [1, 2, 3, 4, 5, 6]
    assert {key: (one.epoch, one.parameters) for key, one in digests(tmp_path).items()} == {
        key: (one.epoch, one.parameters) for key, one in digests(undisturbed).items()
    }
    again = mlgym.resume("run", storage=tmp_path, progress=False)
    assert again.state.num_jobs == resumed.state.num_jobs


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """The storage folder of a run that was interrupted before its second experiment began; `held.yml` lies there."""
    config = held(tmp_path, after_batches=45, at_most_s=1)
    program = start("run", str(config), "--run-id", "run", "--processes", "1", "--storage", str(tmp_path))
    assert send_when(program, signal.SIGTERM, lambda: checkpoints_at(tmp_path, 20)) == 130
    (tmp_path / "hold").unlink()
    return tmp_path


def test_a_config_file_that_changed(interrupted: Path) -> None:
    """Refused with the key and both values; with the key allowed the run goes on in a new lineage."""
    changed = interrupted / "changed.yml"
    config = json.loads((interrupted / "held.yml").read_text())
    config["components"]["optimizer"]["weight_decay"] = 0.1
    changed.write_text(json.dumps(config))
    with pytest.raises(ConfigChangedError, match=r"optimizer\.weight_decay: added, 0\.1"):
        mlgym.resume("run", config=changed, storage=interrupted, progress=False)
    with pytest.raises(ConfigChangedError, match=r"optimizer\.weight_decay: added, 0\.1"):
        mlgym.resume("run", overrides=["optimizer.weight_decay=0.1"], storage=interrupted, progress=False)
    resumed = mlgym.resume(
        "run", config=changed, storage=interrupted, allow_config_change=["optimizer.weight_decay"], progress=False
    )
    assert resumed.exit_code == 0
    assert [one.state.lineage for one in resumed.experiments] == [1, 0]
    assert list(resumed.experiments[0].history("val/loss").epochs) == [1, 2, 3, 4, 5, 6]


def test_auto_resume_goes_on_with_the_newest_unfinished_run(interrupted: Path) -> None:
    """The same config goes on; another one, or one that has ended, gets a run of its own."""
    config = interrupted / "held.yml"
    others = mlgym.run(config, storage=interrupted, auto_resume=True, seed=3, progress=False)
    assert others.run_id != "run"
    resumed = mlgym.run(config, storage=interrupted, auto_resume=True, progress=False)
    assert (resumed.run_id, resumed.exit_code, resumed.state.num_starts) == ("run", 0, 2)
    third = mlgym.run(config, storage=interrupted, overrides=["auto_resume=true"], progress=False)
    assert third.run_id not in ("run", others.run_id)
    named = mlgym.run(config, storage=interrupted, auto_resume=True, run_id="run", progress=False)
    assert (named.run_id, named.state.num_starts) == ("run", 2)


def test_auto_resume_refuses_a_run_that_lives(config: Path, tmp_path: Path) -> None:
    """The error names the run; without auto-resume another one may begin."""
    long = ["experiment.epochs=100000"]
    program = start("run", str(config), *long, "--run-id", "run", "--processes", "1", "--storage", str(tmp_path))
    try:
        wait_for(lambda: state(tmp_path).counts["running"])
        with pytest.raises(RunError, match="run `run` of the same config goes on already"):
            mlgym.run(config, overrides=long, storage=tmp_path, auto_resume=True, progress=False)
    finally:
        os.kill(program.pid, signal.SIGKILL)
        program.communicate()


def test_the_python_api_gives_a_run(undisturbed: Path) -> None:
    """A finished run is given as it is."""
    run = mlgym.resume("latest", storage=undisturbed, progress=False)
    assert isinstance(run, Run)
    assert (run.run_id, run.exit_code, run.state.num_starts) == ("run", 0, 1)
