"""Runs of real configs: the same bits by every way, and the user's module as it stands on disk."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mlgym.config import check, load
from mlgym.events import RunState, read_log
from mlgym.execution import Counts, RunOptions, RunSummary, WorkerCode, launch

pytestmark = pytest.mark.slow

CONFIG = {
    "version": 1,
    "extends": "preset/classification",
    "components": {
        "data": {"use": "digits"},
        "model": {"use": "mlp", "hidden": [16]},
        "optimizer": {"use": "adam", "model": "$model", "lr": {"sweep": [1e-2, 1e-3, 1e-4]}},
    },
}


TIMELY = ("experiment_status", "log", "system_metrics")


def launch_config(config: Any, storage: Path, **options: Any) -> RunSummary:
    document = load(config, ["experiment.epochs=2"] if "extends" in config else [])
    return launch(document, check(document), RunOptions(storage=storage, **options), command=["mlgym", "run"])


def told(summary: RunSummary) -> dict[int, list[Any]]:
    """What each experiment told, but for times, ids and progress, which depends on the time.

    Checkpoints are written beside training: they are told at the end here, without `state.json`, which holds times.
    """
    by_experiment: dict[int, list[Any]] = {}
    checkpoints: dict[int, list[Any]] = {}
    for _, event in read_log(summary.path / "event_storage.log"):
        payload = event["payload"]
        if payload.get("experiment_id") is None or event["event_type"] in TIMELY:
            continue
        kept = {key: value for key, value in payload.items() if key not in ("grid_search_id", "job_id")}
        kept = {key: value for key, value in kept.items() if not key.endswith("_time")}
        of_checkpoint = event["event_type"].startswith("checkpoint_")
        if of_checkpoint:
            kept.pop("bytes", None)
            kept["sha256"] = {file: sha256 for file, sha256 in kept.get("sha256", {}).items() if file != "state.json"}
        group = checkpoints if of_checkpoint else by_experiment
        group.setdefault(payload["experiment_id"], []).append((event["event_type"], kept))
    return {key: events + checkpoints.get(key, []) for key, events in by_experiment.items()}


@pytest.mark.timeout(300)
def test_the_same_bits_inline_and_in_one_or_three_processes(tmp_path: Path) -> None:
    """Every event of every experiment, digests of weights and optimizer included, is the same by each way."""
    ways: list[dict[str, Any]] = [
        {"executor": "inline"},
        {"executor": "processes", "processes": 1},
        {"executor": "processes", "processes": 3},
    ]
    results = []
    for way in ways:
        summary = launch_config(CONFIG, tmp_path, **way)
        assert (summary.counts, summary.exit_code) == (Counts(succeeded=3), 0)
        results.append(told(summary))
    assert results[0] == results[1] == results[2]
    digests = [payload["parameters"] for kind, payload in results[0][0] if kind == "digest"]
    assert len(set(digests)) == 2
    first, second = (results[0][number][0][1]["config"] for number in (0, 1))
    assert first["components"]["optimizer"]["lr"] != second["components"]["optimizer"]["lr"]


@pytest.mark.timeout(300)
def test_an_edited_module_is_used_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one Python process with the user's module edited in between run two versions of it."""
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "own_experiment.py"
    config = tmp_path / "own.yml"
    config.write_text("version: 1\nimports: [own_experiment]\nexperiment: {use: says_version}\n")
    said = []
    for version in ("the first", "the edited one"):
        module.write_text(
            "from mlgym.config import register\n\n\n"
            "@register('says_version')\n"
            "class SaysVersion:\n"
            f"    def run(self, context):\n        print({version!r})\n"
        )
        document = load(config)
        options = RunOptions(storage=tmp_path / "storage", processes=1)
        code = WorkerCode(preload_if_installed=())
        summary = launch(document, check(document), options, command=["mlgym", "run", "own.yml"], code=code)
        assert summary.counts == Counts(succeeded=1), told(summary)
        events = [entry.event for entry in read_log(summary.path / "event_storage.log")]
        said += [event["payload"]["message"] for event in events if event["event_type"] == "log"]
    assert said == ["the first", "the edited one"]


@pytest.mark.timeout(300)
def test_what_components_import_late_is_there_before_experiments_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server imports it if a component of the config, though none of this experiment, needs it, and else not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "looks_at_modules.py").write_text(
        "import sys\n\nfrom mlgym.config import register\n\n\n"
        "@register('looks_at_modules')\n"
        "class LooksAtModules:\n"
        "    def run(self, context):\n        print('sklearn.datasets' in sys.modules)\n"
    )
    base = {"version": 1, "imports": ["looks_at_modules"], "experiment": {"use": "looks_at_modules"}}
    said = {}
    for name, components in {"with": {"data": {"use": "digits"}}, "without": {}}.items():
        summary = launch_config(base | {"components": components}, tmp_path / "storage", processes=1)
        assert summary.counts == Counts(succeeded=1), told(summary)
        events = [entry.event for entry in read_log(summary.path / "event_storage.log")]
        said[name] = [event["payload"]["message"] for event in events if event["event_type"] == "log"]
    assert said == {"with": ["True"], "without": ["False"]}


@pytest.mark.timeout(300)
def test_ctrl_c_during_training_stops_at_a_step_boundary(tmp_path: Path) -> None:
    """A real training that would take hours ends soon after a signal, as interrupted."""

    class Interrupting:
        """Sends SIGINT once an experiment has finished an epoch."""

        is_sent = False

        def update(self, state: RunState) -> None:
            if not self.is_sent and any(experiment.metrics for experiment in state.experiments.values()):
                self.is_sent = True
                os.kill(os.getpid(), signal.SIGINT)

    document = load(CONFIG, ["experiment.epochs=100000", "experiment.early_stopping=[]"])
    interrupting = Interrupting()
    summary = launch(
        document,
        check(document),
        RunOptions(storage=tmp_path, processes=2),
        command=["mlgym", "run"],
        observer=interrupting,
    )
    assert interrupting.is_sent
    assert (summary.counts, summary.exit_code) == (Counts(interrupted=2, not_started=1), 130)
