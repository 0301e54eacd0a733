"""Checkpoint strategies."""

import math
from collections.abc import Sequence

import pytest

from mlgym.training.strategies import (
    CheckpointStrategy,
    EveryNEpochs,
    KeepAll,
    KeepBest,
    KeepBestAndLast,
    KeepLast,
    Snapshot,
)


def _kept(strategy: CheckpointStrategy, values: Sequence[float | None]) -> list[list[int]]:
    """Plays a training and gives the epochs on disk after each epoch."""
    kept: list[Snapshot] = []
    history = []
    for epoch, value in enumerate(values, start=1):
        candidate = Snapshot(epoch, 10 * epoch, {} if value is None else {"val/f1": value})
        decision = strategy.decide(candidate, tuple(kept))
        if decision.reasons:
            kept.append(candidate)
        for one in decision.delete:
            kept.remove(one)
        history.append([one.epoch for one in kept])
    return history


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (KeepAll(), [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]),
        (KeepLast(), [[1], [2], [3], [4]]),
        (KeepLast(2), [[1], [1, 2], [2, 3], [3, 4]]),
        (KeepBest("val/f1", "max"), [[1], [2], [2], [2]]),
        (KeepBest("val/f1", "min"), [[1], [1], [1], [4]]),
        (KeepBestAndLast("val/f1", "max"), [[1], [2], [2, 3], [2, 4]]),
        (EveryNEpochs(2), [[], [2], [2], [2, 4]]),
        (EveryNEpochs(1, keep=2), [[1], [1, 2], [2, 3], [3, 4]]),
    ],
)
def test_what_is_kept(strategy: CheckpointStrategy, expected: list[list[int]]) -> None:
    """Each strategy keeps the epochs that its name says; the first of equal bests."""
    assert _kept(strategy, [0.2, 0.9, 0.9, 0.1]) == expected


def test_only_a_finite_score_is_the_best() -> None:
    """An epoch with NaN or an infinity neither becomes the best nor replaces it."""
    assert _kept(KeepBest("val/f1", "max"), [0.2, math.nan, 0.1]) == [[1], [1], [1]]
    assert _kept(KeepBestAndLast("val/f1", "max"), [math.nan, math.nan, 0.1]) == [[1], [2], [3]]
    assert _kept(KeepBestAndLast("val/f1", "min"), [0.2, -math.inf, 0.1]) == [[1], [1, 2], [3]]
    assert _kept(KeepBest("val/f1", "min"), [-math.inf, math.inf, 0.1]) == [[], [], [3]]


def test_epochs_without_evaluation_do_not_displace_the_best() -> None:
    """Where the metric was not evaluated, an epoch can only be the last one."""
    assert _kept(KeepBestAndLast("val/f1", "max"), [0.5, None, None, 0.6]) == [[1], [1, 2], [1, 3], [4]]
    assert _kept(KeepBest("val/f1", "max"), [None, 0.5, None]) == [[], [2], [2]]
