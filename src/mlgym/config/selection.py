"""Values whose sweeps are decided: what is handed to pydantic, and the way back from its locations to places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlgym.config.adapters import TOKEN_START
from mlgym.config.forms import Entries, FactReference, Form, Hole, Items, Reference, Sweep, Use, Value
from mlgym.config.nodes import Path
from mlgym.config.references import RUN_FACTS
from mlgym.config.tree import Tree


@dataclass(frozen=True, slots=True)
class Selection:
    """A form in which each sweep has its alternative.

    Args:
        form: the form, never a sweep or a `$vars`.
        path: its key path where it is used.
        inside: selections of items or entries; None for the other forms.
    """

    form: Form
    path: Path
    inside: Mapping[str | int, Selection] | None = None

    def at(self, location: tuple[str | int, ...]) -> Selection:
        """Gives the innermost selection that a pydantic location leads to; steps that are no keys are passed over."""
        here = self
        for step in location:
            here = (here.inside or {}).get(step, here)
        return here


def selections(tree: Tree, form: Form, path: Path) -> Iterator[Selection]:
    """Gives a form once for each alternative of each sweep inside: their sum, never their product.

    All values of a distribution are judged by its smallest and its largest. The first has the first alternative
    everywhere, each other one differs from it in one sweep.
    """
    form = tree.follow(form)
    if isinstance(form, Sweep):
        num = len(form.alternatives)
        for i in range(num) if form.distribution is None else sorted({0, num - 1}):
            yield from selections(tree, form.alternatives[i], (*path, *form.steps(i)))
        return
    parts = _parts(form)
    if parts is None:
        yield Selection(form, path)
        return
    streams = {key: selections(tree, part, (*path, key)) for key, part in parts.items()}
    first = Selection(form, path, {key: next(stream) for key, stream in streams.items()})
    yield first
    for key, stream in streams.items():
        for other in stream:
            yield replace(first, inside={**(first.inside or {}), key: other})


def _parts(form: Form) -> Mapping[Any, Form] | None:
    match form:
        case Items():
            return dict(enumerate(form.items))
        case Entries():
            return form.entries
    return None


@dataclass(slots=True)
class Tokens:
    """The objects of a value that JSON cannot hold, each with the text that stands for it."""

    facts: Mapping[str, Any] = field(default_factory=lambda: RUN_FACTS)
    behind: dict[str, Selection] = field(default_factory=dict)

    def data(self, selection: Selection) -> Any:
        """Gives a selection as JSON-able data with tokens for components, references and holes."""
        form = selection.form
        match form:
            case Value():
                return form.value
            case FactReference():
                return self.facts[form.target.fact]
            case Items():
                return [self.data(part) for part in (selection.inside or {}).values()]
            case Entries():
                return {key: self.data(part) for key, part in (selection.inside or {}).items()}
            case Use() | Reference() | Hole():
                token = f"{TOKEN_START}{len(self.behind)}"
                self.behind[token] = selection
                return token
        raise AssertionError(f"{type(form).__name__} is followed or decided before")
