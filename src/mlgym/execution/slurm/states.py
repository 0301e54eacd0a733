"""What the states of SLURM's jobs mean for an experiment."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Fate: TypeAlias = Literal["alive", "ended", "lost"]
"""It may still say something; it will not; it will not, because what it ran on went away."""

GONE: Final = "GONE"
"""Stands for the state of what SLURM does not know any more."""

_ENDED: Final = {
    "COMPLETED": "ended without a word; look at what SLURM captured of it",
    "FAILED": "ended with an error that it could not tell; look at what SLURM captured of it",
    "TIMEOUT": (
        "was over its SLURM time limit (TIMEOUT) before it had reached a step boundary: give more time, as in "
        "`--slurm time=120` (minutes), or an earlier warning, as in `--slurm signal_delay_s=600`"
    ),
    "OUT_OF_MEMORY": (
        "needed more memory than SLURM had given it (OUT_OF_MEMORY): give more, as in `--slurm mem=32G`, or use "
        "smaller batches"
    ),
    "CANCELLED": "was cancelled in SLURM (CANCELLED)",
    "DEADLINE": "was ended by SLURM at its deadline (DEADLINE)",
    "REVOKED": "was taken over by another cluster of the federation (REVOKED)",
    GONE: "is not known to SLURM any more and has not told its end",
}
_LOST: Final = {
    "NODE_FAIL": "lost its node (NODE_FAIL)",
    "BOOT_FAIL": "got a node that did not start (BOOT_FAIL)",
    "LAUNCH_FAILED": "could not be started on its node (LAUNCH_FAILED)",
    "PREEMPTED": "had to make room for another job (PREEMPTED)",
}


def fate(state: str) -> Fate:
    """Gives what a state means, such as `CANCELLED by 1000`; what is unknown may be alive."""
    name = _name(state)
    return "lost" if name in _LOST else "ended" if name in _ENDED else "alive"


def end_text(state: str) -> str:
    """Gives the second half of a sentence that begins with "worker"."""
    name = _name(state)
    text = {**_ENDED, **_LOST}.get(name, f"ended in SLURM state {state}")
    who = state.removeprefix(name).strip()
    return f"{text} {who}" if name == "CANCELLED" and who else text


def _name(state: str) -> str:
    # `CANCELLED by 1000`; a `+` stands for what did not fit.
    return state.split()[0].rstrip("+") if state.strip() else ""
