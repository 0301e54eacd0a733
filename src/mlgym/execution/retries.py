"""Which experiments are tried again after they failed, how often, and whether alone on their devices; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mlgym.execution.out_of_memory import is_out_of_memory

How: TypeAlias = Literal["again", "alone"]
"""`alone`: nothing else may run on its devices meanwhile."""


@dataclass(frozen=True, kw_only=True)
class RetryLimits:
    """How often an experiment is tried again; each kind of end has its own count.

    Args:
        failures: after it failed, >= 0.
        losses: after what it ran on was lost, which was not its fault, >= 0.
        can_be_alone: whether a device can be kept for one experiment; not where a cluster shares out devices.
    """

    failures: int = 0
    losses: int = 3
    can_be_alone: bool = True


@dataclass(frozen=True, kw_only=True)
class Retry:
    """That an experiment is tried again.

    Args:
        how: whether alone.
        why: for the log, the second half of a sentence that begins with the experiment.
    """

    how: How
    why: str


@dataclass(slots=True)
class _Tries:
    failures: int = 0
    losses: int = 0
    lacked_memory: bool = False


class Retries:
    """Keeps count of what was tried again.

    One that lacked memory is tried once more alone, whatever the limits say: it may have failed for its neighbours'
    sake. One that lacks it then, too, has failed for good.
    """

    def __init__(self, limits: RetryLimits) -> None:
        """Makes one that has seen no failure."""
        self._limits = limits
        self._tries: dict[int, _Tries] = {}

    def after(self, experiment_id: int, error: str, *, was_lost: bool = False, label: str = "") -> Retry | None:
        """Takes a failure, and gives how the experiment is tried again; None where it is not.

        Args:
            experiment_id: the experiment that failed.
            error: what it failed with.
            was_lost: whether what it ran on went away under it.
            label: its devices, for the log.
        """
        tries = self._tries.setdefault(experiment_id, _Tries())
        if was_lost and tries.losses < self._limits.losses:
            tries.losses += 1
            return Retry(how="again", why=f"is tried again ({tries.losses} of {self._limits.losses}): {error}")
        if is_out_of_memory(error):
            if tries.lacked_memory:
                return None
            tries.lacked_memory = True
            where = f" alone on {label}" if self._limits.can_be_alone else ""
            return Retry(how=self._how(tries), why=f"ran out of memory and is tried again{where}: {error}")
        if not was_lost and tries.failures < self._limits.failures:
            tries.failures += 1
            count = f"{tries.failures} of {self._limits.failures}"
            return Retry(how=self._how(tries), why=f"failed and is tried again ({count}): {error}")
        return None

    def _how(self, tries: _Tries) -> How:
        return "alone" if tries.lacked_memory and self._limits.can_be_alone else "again"

    def has_failed(self, experiment_id: int) -> bool:
        """Tells whether an experiment that has not ended for good has failed before."""
        return experiment_id in self._tries

    def forget(self, experiment_id: int) -> None:
        """Lets go of what was kept of an experiment, which has ended for good."""
        self._tries.pop(experiment_id, None)
