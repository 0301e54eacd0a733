"""The same config gives the same bits: in repeats, with any number of loader workers and processes, inline or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mlgym
from mlgym.api import Run

from . import noisy  # noqa: F401 - registers the components

pytestmark = pytest.mark.slow


def _config(**loaders: Any) -> dict[str, Any]:
    return {
        "seed": {"sweep": [3, 4, 5]},
        "imports": ["tests.integration.noisy"],
        "components": {
            "data": {"use": "noisy_points"},
            "split": {"use": "stratified_split", "dataset": "$data", "fractions": {"train": 0.8, "val": 0.2}},
            "loaders": {
                "use": "data_loaders",
                "datasets": {"train": "$split.train", "val": "$split.val"},
                "batch_size": 8,
                **loaders,
            },
            "model": {"use": "dropout_net"},
            "optimizer": {"use": "adam", "model": "$model", "lr": 0.01},
            "loss": {"use": "cross_entropy"},
            "trainer": {
                "use": "trainer", "model": "$model", "optimizer": "$optimizer", "loss": "$loss",
                "loader": "$loaders.train",
            },
            "evaluator": {"use": "evaluator", "model": "$model", "loss": "$loss", "loaders": "$loaders"},
        },
        "experiment": {"use": "training", "trainer": "$trainer", "evaluator": "$evaluator", "epochs": 3},
    }  # fmt: skip


def _digests(run: Run) -> list[tuple[str, str]]:
    assert run.exit_code == 0, run.report()
    found = [experiment.state.digest for experiment in run.experiments]
    return [(digest.parameters, digest.optimizer) for digest in found if digest is not None]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """The digests of a run inside this process."""
    storage = tmp_path_factory.mktemp("inline")
    return _digests(mlgym.run(_config(), storage=storage, executor="inline", progress=False))


def test_each_seed_has_digests_of_its_own(expected: list[tuple[str, str]]) -> None:
    """Control: were the digests blind, everything below would pass."""
    assert len(expected) == 3
    assert len(set(expected)) == 3


def test_repeated_inline(tmp_path: Path, expected: list[tuple[str, str]]) -> None:
    """What ran before in this process has no part in it."""
    assert _digests(mlgym.run(_config(), storage=tmp_path, executor="inline", progress=False)) == expected


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes(tmp_path: Path, expected: list[tuple[str, str]], processes: int) -> None:
    """Fresh processes, however many at a time, give what this process gave."""
    assert _digests(mlgym.run(_config(), storage=tmp_path, processes=processes, progress=False)) == expected


@pytest.mark.parametrize(
    "loaders", [{"num_workers": 1}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}]
)
def test_loader_workers(tmp_path: Path, expected: list[tuple[str, str]], loaders: dict[str, Any]) -> None:
    """Random augmentation is a function of (seed, epoch, index), whoever reads the sample."""
    assert _digests(mlgym.run(_config(**loaders), storage=tmp_path, progress=False)) == expected


def test_another_component_changes_nothing(tmp_path: Path, expected: list[tuple[str, str]]) -> None:
    """A callback that draws from the global generators while it is built shifts nobody else's randomness."""
    config = _config()
    config["experiment"]["callbacks"] = [{"use": "unused_noise", "draws": 7}]
    assert _digests(mlgym.run(config, storage=tmp_path, executor="inline", progress=False)) == expected


def test_scores_are_the_same_numbers(tmp_path: Path) -> None:
    """Not only weights: every score of every epoch is equal, not approximately."""
    frames = [
        mlgym.run(_config(), storage=tmp_path / kind, executor=kind, progress=False).metrics()
        for kind in ("inline", "processes")
    ]
    assert frames[0].equals(frames[1])
