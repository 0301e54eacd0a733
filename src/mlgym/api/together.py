"""The same call in several processes that a launcher such as `torchrun` started: the first drives, the rest follow."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from mlgym.api.results import Run
from mlgym.errors import RunError
from mlgym.execution.group.together import follow, is_follower, leader, leading
from mlgym.execution.options import ExecutorKind
from mlgym.tracking import RunFolder

_Arguments = ParamSpec("_Arguments")
_Given = TypeVar("_Given")


def led_by_rank_0(
    for_others: Callable[[Path | None], _Given],
) -> Callable[[Callable[_Arguments, _Given]], Callable[_Arguments, _Given]]:
    """Has only the first of several processes do what makes a run; the others follow it.

    Args:
        for_others: what they get, from the folder of the last run that they had a share in; None for no run.
    """

    def decorate(function: Callable[_Arguments, _Given]) -> Callable[_Arguments, _Given]:
        @wraps(function)
        def call(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Given:
            if is_follower():
                return for_others(follow())
            with leading():
                return function(*arguments, **named)

        return call

    return decorate


def _same_run(run_dir: Path | None) -> Run:
    if run_dir is None:
        raise RunError("rank 0 had nothing for the other ranks to do; what it printed says why")
    return Run(RunFolder(run_dir.parent, run_dir.name))


def by_rank_0(function: Callable[_Arguments, Run]) -> Callable[_Arguments, Run]:
    """Has only the first of several processes do what makes a run; the others follow it, and get the same run."""
    return led_by_rank_0(_same_run)(function)


def executor_and_size(
    executor: ExecutorKind | None, processes: int | None, devices_per_experiment: int | None
) -> tuple[ExecutorKind | None, int | None]:
    """Gives what runs experiments, and on how many devices each, as it follows from how this program was started.

    Args:
        executor: as given; None where nobody gave it.
        processes: as given.
        devices_per_experiment: as given.

    Raises:
        RunError: it was started in several processes, and something else was asked for.
    """
    led = leader()
    if led is None:
        return executor, devices_per_experiment
    size = led.standing.size
    started = f"this program was started in {size} processes, which train one experiment after the other together"
    if executor not in (None, "inline"):
        raise RunError(f"{started}: leave out `executor` (it is `{executor}`), or start it in one process")
    if processes not in (None, 1):
        raise RunError(f"{started}: leave out `processes` (it is {processes}), or start it in one process")
    if devices_per_experiment not in (None, 1, size):
        raise RunError(f"{started}, but `devices_per_experiment` is {devices_per_experiment}: leave it out")
    return "inline", size
