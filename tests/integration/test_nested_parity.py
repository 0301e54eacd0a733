"""Nested cross validation gives what scikit-learn gives: folds, all inner scores, winners, outer scores, by `==`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.parity.cases import CASES, by_mlgym, by_scikit_learn, one_thread, shuffled_order

QUICK = ("stratified", "exact ties")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_the_same_as_scikit_learn(name: str, tmp_path: Path) -> None:
    """One case in this process, its experiments in another order than that of the grid."""
    case = CASES[name]
    with shuffled_order(3), one_thread():
        expected, found = by_scikit_learn(case), by_mlgym(case, tmp_path, executor="inline")
    assert found.folds == expected.folds
    assert found.inner == expected.inner
    assert found.winners == expected.winners
    assert found.outer == expected.outer


@pytest.mark.slow
def test_in_several_processes(tmp_path: Path) -> None:
    """Three workers that finish as they like, in a random order, find the same."""
    case = CASES["repeated"]
    with shuffled_order(4):
        assert by_mlgym(case, tmp_path, processes=3) == by_scikit_learn(case)


def test_other_folds_are_noticed() -> None:
    """The control: with another seed of the folds nothing is equal."""
    case = CASES["stratified"]
    other = replace(case, outer=type(case.outer)(5, shuffle=True, random_state=6))
    one, two = by_scikit_learn(case), by_scikit_learn(other)
    assert one.folds != two.folds
    assert one.inner != two.inner
    assert one.outer != two.outer
