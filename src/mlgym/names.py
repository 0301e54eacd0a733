"""Ids, reserved words and the nearest-name search of error messages; imports nothing of the project but its errors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Final, Literal

from mlgym.errors import InvalidNameError

Best = Literal["min", "max"]
"""Whether the smallest or the largest value of a metric is the best one."""

SAFE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
COMPONENT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RUN_ID_FORMAT: Final = "%Y-%m-%d--%H-%M-%S"
DEFAULT_STORAGE: Final = "event_storage"
LOG_FILE: Final = "event_storage.log"
TRACKED: Final = "tracked"
"""What the events of a run that `mlgym.track` writes have as its validation mode."""
TOKEN_VARIABLE: Final = "MLGYM_TOKEN"  # noqa: S105  # the name of one
"""The environment variable with the token of a hub, for services and for whoever talks to them."""
_RESERVED_SUFFIXES: Final = (".torn", ".lock")


def safe_name(name: str, what: str = "name") -> str:
    """Gives `name` back when it may become part of a path.

    Args:
        name: the text to check.
        what: how the error calls it, such as `run id`.

    Raises:
        InvalidNameError: it does not match `SAFE_NAME` or is reserved.
    """
    if not SAFE_NAME.fullmatch(name):
        raise InvalidNameError(
            f"{what} {name!r} is not allowed: 1 to 128 letters, digits, `.`, `_`, `-`, the first a letter or digit"
        )
    if name == LOG_FILE or name.endswith(_RESERVED_SUFFIXES):
        raise InvalidNameError(f"{what} {name!r} is reserved")
    return name


def run_id_at(moment: datetime) -> str:
    """Gives the run id of a run that starts at `moment`, such as `2026-11-23--16-14-30`."""
    return moment.strftime(RUN_ID_FORMAT)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Gives the known name most like `name`, or None where none is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str], *, max_listed: int = 12, intro: str = "known:") -> str:
    """Gives the tail of an "unknown name" message: the nearest known name, and the known ones where they are few.

    Returns:
        Text such as `` ; did you mean `adam`? (known: adam, sgd)``, ready to be appended.
    """
    names = list(known)
    best = nearest(name, names)
    tail = f"; did you mean `{best}`?" if best else ""
    if names and (len(names) <= max_listed or not best):
        listed = ", ".join(names[:max_listed]) + (", ..." if len(names) > max_listed else "")
        tail += f" ({intro} {listed})"
    return tail


def plain_name(thing: object) -> str:
    """Gives the snake-case name of a function, or of the class of an object: `focal_loss` for a `FocalLoss`."""
    function = thing.func if isinstance(thing, partial) else thing
    name: str = getattr(function, "__name__", None) or type(function).__name__
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
