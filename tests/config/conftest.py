"""Short ways to write, load and check configs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from mlgym.config import Plan, load
from mlgym.config.check import check
from mlgym.errors import ConfigError

from .parts import parts

Writer: TypeAlias = Callable[..., str]
Checker: TypeAlias = Callable[..., Plan]
Faults: TypeAlias = Callable[..., list[str]]


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes a config into the current folder and gives its name, as a user would type it."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "mnist.yml") -> str:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return name

    return write


@pytest.fixture
def space(config_file: Writer) -> Checker:
    """Gives the search space of a YAML text."""

    def checked(text: str, overrides: Sequence[str] = ()) -> Plan:
        return check(load(config_file(text), overrides), registry=parts)

    return checked


@pytest.fixture
def faults(space: Checker) -> Faults:
    """Gives what is wrong with a YAML text, as lines; nothing where it is all right."""

    def found(text: str, overrides: Sequence[str] = ()) -> list[str]:
        try:
            space(text, overrides)
        except ConfigError as error:
            return [str(fault) for fault in error.faults]
        return []

    return found
