"""Which scores an experiment will have, as far as its config tells it, and who waits for one that it will not have.

What is measured is for the class of a component to say, by a class method `scores_of` that is asked before anything is
built. Whatever only building shows leaves the question open, and experiments look for themselves.
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from mlgym.config.circles import used_forms
from mlgym.config.forms import Use
from mlgym.config.given import Given, Glance, NotKnownError
from mlgym.config.kinds import marks_of
from mlgym.config.nodes import Path
from mlgym.config.registry import Registry
from mlgym.config.signature import signature_of
from mlgym.config.tree import Tree
from mlgym.errors import Fault, RegistryError
from mlgym.names import did_you_mean


@dataclass(frozen=True, slots=True)
class _Score:
    """Marks a parameter that names a score."""


ScoreName: TypeAlias = Annotated[str, _Score()]
"""A score of the experiment, `split/metric`, such as `val/f1_macro`: looked for when the config is checked."""


def scores_of(given: Given) -> frozenset[str]:
    """Gives the scores that a component will have, in all alternatives together.

    Raises:
        NotKnownError: its class does not say it, or only building it shows.
    """
    return frozenset(given.own("scores_of")(given))


def known_scores(tree: Tree, registry: Registry, faults: Collection[Fault] = ()) -> frozenset[str] | None:
    """Gives the scores that the experiments of a config will have; None where that is not known.

    Args:
        tree: the config; no components in it need each other in a circle.
        registry: the components.
        faults: what is wrong with it. Nothing is known where that is a part on which scores depend.
    """
    glance = Glance(tree, registry)
    try:
        roots = Given.each(tree.experiment, ("experiment",), glance)
        scores = frozenset(score for root in roots for score in scores_of(root))
    except (NotKnownError, RecursionError):
        return None
    return None if glance.meets(faults) else scores


def is_measured(score: str, scores: Collection[str]) -> bool:
    """Says whether a score may be one of those that are known before anything is computed.

    Those of single classes come only with their numbers: `val/f1/3` belongs to `val/f1`.
    """
    return score in scores or score.rpartition("/")[0] in scores


def unmeasured_text(score: str, scores: frozenset[str]) -> str:
    """Gives what is said of a score that is none."""
    return f"`{score}` is not evaluated{did_you_mean(score, sorted(scores))}"


def unmeasured(tree: Tree, registry: Registry, scores: frozenset[str]) -> Iterator[Fault]:
    """Yields a fault for each score that a part of the experiment waits for in vain."""
    for where, use in used_forms(tree):
        yield from _unmeasured_by(use, where, tree, registry, scores)


def _unmeasured_by(use: Use, path: Path, tree: Tree, registry: Registry, scores: frozenset[str]) -> Iterator[Fault]:
    for name, form in use.params.items():
        if not _names_score(use.name, name, registry):
            continue
        try:
            given = list(Given.each(form, (*path, name), Glance(tree, registry)))
        except NotKnownError:
            continue
        for each in given:
            if not each.is_none and not is_measured(str(each.value), scores):
                yield each.form.mark.fault(each.path, unmeasured_text(str(each.value), scores))


def _names_score(component: str, parameter: str, registry: Registry) -> bool:
    try:
        found = signature_of(registry.find(component)).parameter(parameter)
    except RegistryError:
        return False
    annotation = None if found is None else found.annotation
    return any(marks_of(each, _Score) for each in (annotation, *typing.get_args(annotation)))
