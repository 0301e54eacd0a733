"""What differs between two configs, key by key, and which of it somebody has admitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from mlgym.config.dump import flow
from mlgym.config.nodes import Path, from_plain, override_key, shorten
from mlgym.config.override import override_path

ChangeKind: TypeAlias = Literal["added", "removed", "changed"]

_OTHER_RUN: Final = ("seed", "validation")
"""Sections that say which experiments there are and what they mean."""


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """One key whose value differs.

    Args:
        path: the key path, from the top of the config.
        kind: whether the key is new, gone, or has another value.
        old: the value before; None where it is new.
        new: the value now; None where it is gone.
    """

    path: Path
    kind: ChangeKind
    old: Any
    new: Any

    @property
    def key(self) -> str:
        """The key as the command line takes it, such as `optimizer.lr`."""
        return override_key(self.path)

    @property
    def makes_another_run(self) -> bool:
        """Whether it changes how many experiments there are, or what their numbers mean."""
        return self.path[0] in _OTHER_RUN or "sweep" in self.path or _holds_sweep(self.old) or _holds_sweep(self.new)

    def __str__(self) -> str:
        if self.kind == "added":
            return f"{self.key}: added, {_shown(self.new)}"
        if self.kind == "removed":
            return f"{self.key}: removed, was {_shown(self.old)}"
        return f"{self.key}: {_shown(self.old)} -> {_shown(self.new)}"


def config_changes(old: Any, new: Any) -> list[ConfigChange]:
    """Gives every key in which two configs differ, in the order of `old`, then of `new`.

    Lists of equal length are compared item by item, others as a whole. `1` and `1.0` are the same, `1` and `true` not.

    Args:
        old: a config as plain data.
        new: another one.
    """
    return list(_changes(old, new, ()))


def is_admitted(change: ConfigChange, keys: Iterable[str]) -> bool:
    """Tells whether a change lies at or below one of some keys.

    Args:
        change: the change.
        keys: keys as the command line takes them: `optimizer.lr`, `experiment`, `model.layers[0]`.
    """
    path = tuple(str(step) for step in change.path)
    return any(path[: len(steps)] == steps for steps in map(override_path, keys))


def _changes(old: Any, new: Any, path: Path) -> Iterator[ConfigChange]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            inner = (*path, key)
            if key not in new:
                yield ConfigChange(inner, "removed", old[key], None)
            elif key not in old:
                yield ConfigChange(inner, "added", None, new[key])
            else:
                yield from _changes(old[key], new[key], inner)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (before, now) in enumerate(zip(old, new, strict=True)):
            yield from _changes(before, now, (*path, i))
    elif old != new or isinstance(old, bool) is not isinstance(new, bool):
        yield ConfigChange(path, "changed", old, new)


def _holds_sweep(data: Any) -> bool:
    if isinstance(data, dict):
        return "sweep" in data or any(map(_holds_sweep, data.values()))
    return isinstance(data, list) and any(map(_holds_sweep, data))


def _shown(value: Any) -> str:
    return shorten(flow(from_plain(value)))
