"""What users read about components."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from mlgym.config.describe import describe, parameter_docs
from mlgym.config.registry import Registry


class Base:
    """A base class.

    Args:
        width: what the base says.
        depth: what the base
            says in two lines.
    """

    forward: Callable[..., Any]
    Hook: TypeAlias = Callable[[int], int]
    size: int


class Derived(Base):
    """A class with an output.

    More about it.

    Args:
        width: what the class says.
    """

    def __init__(self, width: int, depth: int = 2) -> None:
        self.size = width * depth

    def forward(self, value: int) -> int:
        """Gives the value."""
        return value


def test_methods_and_aliases_are_no_outputs() -> None:
    """Only what holds data can be named as `$name.output`, whatever a base annotates."""
    registry = Registry()
    registry.register("derived")(Derived)
    described = describe(registry.find("derived"))
    assert described.outputs == {"size": "int"}
    assert (described.summary, described.details) == ("A class with an output.", "More about it.")


def test_the_class_speaks_before_its_bases() -> None:
    """What a class says about a parameter stands before what its bases say; further lines belong to an entry."""
    assert parameter_docs(Derived) == {"width": "what the class says.", "depth": "what the base says in two lines."}
