"""The texts that start with a `$`: `$name`, `$name.output`, `$vars.x`, `$run.seed`; `$$` is a dollar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from mlgym.names import did_you_mean

RUN_FACTS: Final[dict[str, Any]] = {"seed": 0, "dir": "run", "device": "cpu", "experiment_id": 0, "fold": 0}
"""What the runner tells (`$run.seed` ...), each with an example that stands for it while a config is checked."""
RESERVED_NAMES: Final = ("vars", "run")

_REFERENCE: Final = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)((?:\.[A-Za-z0-9_][A-Za-z0-9_-]*)*)")


@dataclass(frozen=True, slots=True)
class ComponentName:
    """`$name` or `$name.output`."""

    name: str
    output: str | None = None

    def __str__(self) -> str:
        return f"${self.name}" + (f".{self.output}" if self.output else "")


@dataclass(frozen=True, slots=True)
class VarName:
    """`$vars.x`, or `$vars.x.y` for what lies inside."""

    steps: tuple[str, ...]

    def __str__(self) -> str:
        return "$vars." + ".".join(self.steps)


@dataclass(frozen=True, slots=True)
class FactName:
    """`$run.seed` and the like."""

    fact: str

    def __str__(self) -> str:
        return f"$run.{self.fact}"


def is_reference(text: str) -> bool:
    """Says whether a text means something else than itself."""
    return text.startswith("$") and not text.startswith("$$")


def unescaped(text: str) -> str:
    """Gives what a text that is no reference stands for: `$$x` is `$x`."""
    return text[1:] if text.startswith("$$") else text


def escaped(text: str) -> str:
    """Gives the way to write `text` in a config: `$x` is `$$x`."""
    return "$" + text if text.startswith("$") else text


def parse_reference(text: str) -> ComponentName | VarName | FactName:
    """Gives what a text that starts with one `$` refers to.

    Raises:
        ValueError: malformed, or an unknown fact of the run.
    """
    match = _REFERENCE.fullmatch(text)
    if not match:
        raise ValueError(
            f"`{text}` is no reference such as `$name`, `$name.output`, `$vars.x` or `$run.seed`; "
            f"write `${text}` if a dollar is meant"
        )
    name, steps = match[1], tuple(match[2].split(".")[1:])
    if name == "vars":
        if not steps:
            raise ValueError("`$vars` needs the name of a value: `$vars.x`")
        return VarName(steps)
    if name == "run":
        if len(steps) != 1 or steps[0] not in RUN_FACTS:
            raise ValueError(f"`{text}` is no fact of the run{did_you_mean('.'.join(steps), RUN_FACTS)}")
        return FactName(steps[0])
    if len(steps) > 1:
        raise ValueError(f"`{text}` goes too deep: a component has outputs, `${name}.{steps[0]}`, and they have none")
    return ComponentName(name, steps[0] if steps else None)
