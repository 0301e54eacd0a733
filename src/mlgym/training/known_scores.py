"""What an evaluator will measure, told from its config alone; `Evaluator.names` says it of one that is built.

Metrics with a constructor of MLgym's are asked for their names, which costs nothing: only a constructor knows what it
makes of its parameters. Those of others may load whatever they need, and are left alone; what they are called stays
open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from mlgym.components.loss.base import Loss
from mlgym.components.metric.base import NamedMetric
from mlgym.config.given import Given, NotKnownError
from mlgym.config.kinds import origin_class, union_members
from mlgym.config.registry import Component

LOSS: Final = "loss"


def scores_of_evaluator(given: Given) -> set[str]:
    """Gives every measure as `split/name`, in all alternatives.

    Raises:
        NotKnownError: what is measured, or how it is called, shows when it is built.
    """
    names = {*_loss_names(given), *_metric_names(given)}
    return {f"{split}/{name}" for split in _splits(given) for name in names}


def _splits(given: Given) -> set[str]:
    chosen = given.parameter("splits")
    splits = {str(one.value) for each in chosen if not each.is_none for one in each.items()}
    if not chosen or any(each.is_none for each in chosen):
        splits |= {name for each in given.parameter("loaders") for name in each.names()}
    return splits


def _loss_names(given: Given) -> Iterator[str]:
    if any(not each.is_none for each in given.parameter("step")):
        yield LOSS
    for loss in given.parameter("loss"):
        if loss.is_list:
            for one in loss.items():
                yield from _names_of_loss(one)
        elif not loss.is_none:
            if _may_be_list(loss.kind):
                raise NotKnownError
            yield LOSS


def _may_be_list(kind: Any) -> bool:
    cls = origin_class(kind)
    return cls is None or len(union_members(kind)) > 1 or issubclass(cls, Sequence)


def _names_of_loss(given: Given) -> Iterator[str]:
    target = given.component.target
    if not (isinstance(target, type) and issubclass(target, Loss)):
        yield _registered_name(given)
    elif not _is_made_by_own(target):
        raise NotKnownError
    elif names := given.parameter("name"):
        yield from (str(name.value or target.kind) for name in names)
    else:
        yield target.kind


def _metric_names(given: Given) -> Iterator[str]:
    for metrics in given.parameter("metrics"):
        for metric in metrics.items():
            target = metric.component.target
            if not (isinstance(target, type) and issubclass(target, NamedMetric)):
                yield _registered_name(metric)
            elif not _is_made_by_own(target):
                raise NotKnownError
            else:
                yield from map(_own_name, metric.variants())


def _registered_name(given: Given) -> str:
    """Gives how something is called that has no name of its own, as `as_loss` and `as_metric` do."""
    component = given.component
    name = given.glance.registry.name_of(component.target) if _makes_itself(component) else None
    if name is None:  # what another one made
        raise NotKnownError
    return name


def _makes_itself(component: Component) -> bool:
    """Says whether the object of a component is of its class, or is its function; another one may have any name."""
    target = component.target
    if isinstance(target, type):
        return not any("__new__" in vars(base) for base in target.__mro__ if base is not object)
    return bool(component.call_args)


def _own_name(metric: NamedMetric) -> str:
    name = getattr(metric, "name", None)
    if not isinstance(name, str):
        raise NotKnownError
    return name


def _is_made_by_own(target: type) -> bool:
    """Says whether nothing but MLgym's code decides what an object of the class is called."""
    others = [vars(base) for base in target.__mro__ if not base.__module__.startswith(("mlgym.", "torch.", "builtins"))]
    is_plain = all(isinstance(base.get("name", ""), str) for base in others)
    return is_plain and not any(name in base for base in others for name in ("__init__", "__new__", "__setattr__"))
