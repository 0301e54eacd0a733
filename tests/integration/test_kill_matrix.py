"""SIGKILL at enumerated moments: what comes out is what comes out undisturbed.

The families share the points among them, so that few seconds are enough; all of them: `benchmarks/kill_matrix.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mlgym

from .kill_matrix.attempts import warm
from .kill_matrix.families import FAMILIES, config_of
from .kill_matrix.matrix import Row, Setting, without_generators, written_in_place

SETTINGS = [Setting(family, num_workers=2 * (number == 1), synchronous=number % 2 == 0)
            for number, family in enumerate(FAMILIES)]  # fmt: skip
PHASES_OF_A_WRITE = {
    "before the copy", "buffer half copied", "buffer copied, nothing written", "before the temporary file",
    "temporary file: half written", "temporary file: before its sync", "before the manifest", "manifest: half written",
    "manifest: before its sync", "manifest written, before the folder's sync", "before the rename",
    "after the rename, before its sync", "after the rename, before pruning", "while pruning",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """Lets each attempt start as a fork, within milliseconds."""
    warm()


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def row(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Row:
    """A family with what comes out undisturbed."""
    return Row(request.param, tmp_path_factory.mktemp("row"))


def test_killed_anywhere_the_same_comes_out(row: Row) -> None:
    """Weights, optimizer, generators, results and files are the same; nothing is left over, nothing is lost."""
    points = row.points()
    assert {point.phase for point in points} >= PHASES_OF_A_WRITE | {"step: before the update", "step boundary"}
    stride = len(points) // 12
    for point in points[SETTINGS.index(row.setting) :: stride]:
        verdict = row.verdict(point)
        assert verdict.identical, verdict
        assert not verdict.unresumable, verdict


def test_killed_again_while_it_goes_on(row: Row) -> None:
    """A second kill in the attempt that tidies up and goes on changes nothing either."""
    points = list(row.points_in_resume())
    assert any("tidying" in point.phase for point in points)
    assert any("settling" in point.phase for point in points)
    for point in points[SETTINGS.index(row.setting) :: 8]:
        verdict = row.verdict(point)
        assert verdict.identical, verdict
        assert not verdict.unresumable, verdict


def test_control_without_generator_states_other_weights_come_out(tmp_path: Path) -> None:
    """What dropout draws is no function of seed and position: without the states the matrix fails, as it must."""
    row = Row(Setting("mlp", synchronous=True), tmp_path, without_generators)  # so that a checkpoint stands for sure
    point = next(point for point in row.points() if point.phase == "step boundary" and point.after_checkpoint)
    verdict = row.verdict(point)
    assert not verdict.identical
    assert any("other results" in fault for fault in verdict.faults)


def test_control_written_in_place_a_kill_leaves_nothing(tmp_path: Path) -> None:
    """Where the old one goes first and the new one grows under its name, kills leave nothing to go on from."""
    row = Row(Setting("mlp", synchronous=True), tmp_path, written_in_place)
    points = [point for point in row.points() if "half written" in point.phase]
    verdicts = [row.verdict(point) for point in points[:: max(1, len(points) // 4)]]
    assert any(verdict.unresumable for verdict in verdicts)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_sequential_and_parallel_give_the_same_digests(tmp_path: Path, family: str) -> None:
    """One experiment after the other, two at a time, four at a time: the same weights and optimizers."""
    config = config_of(family, seed={"sweep": [1, 2, 3, 4]})
    found = []
    for processes in (1, 2, 4):
        run = mlgym.run(config, storage=tmp_path / str(processes), processes=processes, progress=False)
        assert run.exit_code == 0, run.report()
        digests: list[Any] = [experiment.state.digest for experiment in run.experiments]
        found.append([(one.parameters, one.optimizer) for one in digests])
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 4
