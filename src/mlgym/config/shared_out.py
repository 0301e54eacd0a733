"""Numbers of a config that are shared out among the devices of an experiment, of which a launch says how many.

What is wrong with them is known before anything is started, though not before the launch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlgym.config.choices import Choices, alternatives_of
from mlgym.config.circles import used_forms
from mlgym.config.document import Document
from mlgym.config.forms import Entries, Form, Reference, Sweep, Use, Value
from mlgym.config.kinds import marks_of
from mlgym.config.produce import Producer
from mlgym.config.registry import REGISTRY, Registry
from mlgym.config.signature import Signature, signature_of
from mlgym.config.tree import Tree
from mlgym.errors import Fault


@dataclass(frozen=True, slots=True)
class SharedOut:
    """Marks a count of which each device gets a part: `Annotated[int, SharedOut()]`, so that it is no less than those.

    It is looked at where the component, or one of its outputs, is given to one that trains. A mapping has a count for
    each output.
    """


def too_small_to_share(
    document: Document, parameter: str, num_devices: int, *, registry: Registry = REGISTRY
) -> list[Fault]:
    """Gives a fault for each count that is below the number of devices that share it, in whatever alternative.

    Args:
        document: a config without faults.
        parameter: what only components have that train on several devices, such as `parallelism`.
        num_devices: devices of one experiment, >= 1.
        registry: the components.
    """
    tree = Tree.read(document.root)
    producer = Producer(tree, registry)
    faults: dict[Fault, None] = {}
    for _, use in used_forms(tree):
        if _has(_signature(use, producer), parameter):
            given = (count for form in use.params.values() for count in _counts_behind(form, producer))
            faults.update((_fault(count, num_devices), None) for count in given if _is_less(count, num_devices))
    return list(faults)


def _signature(use: Use, producer: Producer) -> Signature | None:
    component = producer.component(use.name)
    return None if component is None else signature_of(component)


def _has(signature: Signature | None, name: str) -> bool:
    return signature is not None and name in signature.params


def _counts_behind(form: Form, producer: Producer) -> Iterator[Value]:
    """Yields the marked counts of the component that a form is or refers to, in all alternatives."""
    for _, choices, one in alternatives_of(producer.tree, form, (), {}):
        if isinstance(one, Use):
            yield from _counts_of(one, None, choices, producer)
        elif isinstance(one, Reference) and one.target.name in producer.tree.components:
            target = producer.tree.components[one.target.name]
            for _, taken, made in alternatives_of(producer.tree, target, (), choices):
                if isinstance(made, Use):
                    yield from _counts_of(made, one.target.output, taken, producer)


def _counts_of(use: Use, output: str | None, choices: Choices, producer: Producer) -> Iterator[Value]:
    signature = _signature(use, producer)
    for name, form in use.params.items():
        known = None if signature is None else signature.parameter(name)
        if known is not None and marks_of(known.annotation, SharedOut):
            yield from _counts_in(form, output, choices, producer)


def _counts_in(form: Form, output: str | None, choices: Choices, producer: Producer) -> Iterator[Value]:
    form = producer.tree.follow(form)
    if isinstance(form, Sweep) and form.distribution is not None:
        # By which all that may be drawn are judged.
        yield from (Value(form.mark, form.origin, corner) for corner in form.distribution.corners())
    for _, taken, one in alternatives_of(producer.tree, form, (), choices):
        if isinstance(one, Value):
            yield one
        elif isinstance(one, Entries) and output is not None and output in one.entries:
            yield from _counts_in(one.entries[output], None, taken, producer)


def _is_less(count: Value, num_devices: int) -> bool:
    return isinstance(count.value, int) and count.value < num_devices


def _fault(count: Value, num_devices: int) -> Fault:
    return count.mark.fault(
        count.origin,
        f"must be at least {num_devices}, since so many devices share it, but is {count.value}: raise it, or launch "
        f"with no more than {count.value} per experiment",
    )
