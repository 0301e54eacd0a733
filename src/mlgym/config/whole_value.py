"""Values whose parts have to fit each other, as their annotations say it: shares that sum to 1, for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from mlgym.config.choices import alternatives_of, values_of
from mlgym.config.forms import Form
from mlgym.config.kinds import marks_of
from mlgym.config.nodes import Path
from mlgym.config.tree import Tree
from mlgym.errors import Fault

_MOST_VALUES: Final = 1000
"""So many combinations of one value are looked at; the rest shows when experiments begin."""


@dataclass(frozen=True, slots=True)
class Whole:
    """Marks a parameter that is checked as a whole: `Annotated[dict[str, float], Whole(complaint)]`.

    Args:
        complaint: from a value of the parameter's type to what is wrong with it; None where nothing is, or where only
            building shows it.
    """

    complaint: Callable[[Any], str | None]


def faults_of_whole(form: Form, path: Path, annotation: Any, tree: Tree) -> Iterator[Fault]:
    """Yields a fault for each alternative of a marked parameter whose parts do not fit each other.

    Args:
        form: what the parameter is given; each of its values is of the right type.
        path: its key path.
        annotation: its annotation.
        tree: the config.
    """
    for mark in marks_of(annotation, Whole):
        for where, choices, one in alternatives_of(tree, form, path, {}):
            values = islice(values_of(tree, one, choices), _MOST_VALUES)
            complaint = next(filter(None, (mark.complaint(value) for value, _ in values)), None)
            if complaint is not None:
                yield one.mark.fault(where, complaint)
