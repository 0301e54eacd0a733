"""The failure of a group: which of its ranks failed first, and what the others only suffered from."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mlgym.errors import RankFailedError
from mlgym.execution.job import Exit
from mlgym.execution.out_of_memory import KERNEL_KILLED

# What a rank says whose connection to another one broke, mostly because that one is dead.
_OF_CONNECTION: Final = re.compile(
    r"Dist(?:Backend|Network|Store)Error|\bgloo\b|\bNCCL\b|Connection (?:closed|reset) by peer|cannot reach the others"
    r"|\bpair closure\b"
)


@dataclass(frozen=True, kw_only=True)
class RankEnd:
    """The end of a rank that failed.

    Args:
        rank: its number.
        error: what it told, `ExceptionType: message`; None where it died without a word.
        stacktrace: the traceback that it told.
        told_at: when it did, in s since the epoch.
        exit: how its process ended, where that is known.
        log_tail: its last lines.
    """

    rank: int
    error: str | None = None
    stacktrace: str | None = None
    told_at: float = 0.0
    exit: Exit | None = None
    log_tail: tuple[str, ...] = ()


def cause_of(failed: Sequence[RankEnd]) -> RankEnd:
    """Gives the rank that failed first, of those that failed: one that died, else not one that lost a connection."""
    return min(failed, key=_suspicion)


def failure_of(failed: Sequence[RankEnd], world_size: int, *, out_of_memory: bool = False) -> RankFailedError:
    """Gives the failure of a group.

    Args:
        failed: the ends of the ranks that failed, at least one.
        world_size: how many ranks there were.
        out_of_memory: whether the kernel killed a process for lack of memory meanwhile.
    """
    cause = cause_of(failed)
    if cause.error is not None:
        # What all say alike is nothing of that rank's own.
        all_alike = len(failed) == world_size and len({each.error for each in failed}) == 1
        error = cause.error if all_alike else f"rank {cause.rank}: {cause.error}"
    elif cause.exit is None:
        error = f"rank {cause.rank} was lost: it did not say how it ended"
    else:
        error = f"rank {cause.rank} {cause.exit.describe()}"
        if cause.exit.signal == signal.SIGKILL and out_of_memory:
            error += f"; {KERNEL_KILLED}: run fewer processes, or smaller batches"
    return RankFailedError(
        error,
        stacktrace=cause.stacktrace,
        exit_signal=cause.exit.signal_name if cause.exit else None,
        log_tail=cause.log_tail,
    )


def _suspicion(end: RankEnd) -> tuple[int, float]:
    """Gives a key by which the rank comes first whose failure is most likely the cause of the others'."""
    if end.error is None:
        return 0, 0.0
    return (2 if _OF_CONNECTION.search(f"{end.error}\n{end.stacktrace or ''}") else 1), end.told_at
