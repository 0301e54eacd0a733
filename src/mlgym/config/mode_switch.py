"""A validation mode from the command line: `validation.mode=grid_search` drops what the file says of another mode."""

from __future__ import annotations

from mlgym.config.modes import VALIDATION_MODES
from mlgym.config.nodes import COMMAND_LINE_ORDER, Entry, MapNode, Scalar
from mlgym.config.registry import Registry
from mlgym.config.signature import signature_of


def with_switched_mode(root: MapNode, *, modes: Registry = VALIDATION_MODES) -> MapNode:
    """Gives a document in which a mode from the command line has no parameters that are another mode's.

    What both modes have stays, and so does what is given on the command line or belongs to no mode at all: that is
    an error as ever. A mode that the file itself names loses nothing either.

    Args:
        root: the document with its overrides.
        modes: the validation modes.
    """
    entry = root.entries.get("validation")
    mode = entry.value.get("mode") if entry is not None and isinstance(entry.value, MapNode) else None
    if entry is None or not isinstance(entry.value, MapNode) or not isinstance(mode, Scalar):
        return root
    if not _is_override(mode.mark.source.order) or not isinstance(mode.value, str) or mode.value not in modes:
        return root
    own = signature_of(modes.find(mode.value)).params
    others = {name for component in modes for name in signature_of(component).params} - own.keys()
    kept = {
        key: inner
        for key, inner in entry.value.entries.items()
        if key not in others or _is_override(inner.mark.source.order)
    }
    return root.with_entry("validation", Entry(entry.mark, MapNode(entry.value.mark, kept)))


def _is_override(order: int) -> bool:
    return order >= COMMAND_LINE_ORDER
