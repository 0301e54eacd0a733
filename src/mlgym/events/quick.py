"""A short cut through the lines that most of a log is made of: the results of evaluations.

It takes only what `fold` would understand in the same way; whatever is unusual about a line leaves it to the long way.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

_BEGINNING: Final = b'{"event_type":"evaluation_result",'

_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]
# Whole numbers of so many digits are none for `Fields.number`.
_Number = Annotated[float, msgspec.Meta(gt=-1e299, lt=1e299)]


class MetricOfLine(msgspec.Struct, gc=False):
    """The value of a metric."""

    split: _Text
    metric: _Text
    score: _Number | None = None
    non_finite: str | None = None


class LossOfLine(msgspec.Struct, gc=False):
    """The value of a loss."""

    split: _Text
    loss: _Text
    score: _Number | None = None
    non_finite: str | None = None


class Evaluation(msgspec.Struct, gc=False):
    """The payload of an evaluation whose values are all numbers."""

    experiment_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    epoch: _Integer
    step: _Integer
    metric_scores: list[MetricOfLine]
    loss_scores: list[LossOfLine]
    grid_search_id: str | None = None
    tables: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)] = []


class EvaluationLine(msgspec.Struct, gc=False):
    """A line of the log."""

    event_type: str
    creation_ts: _Integer
    payload: Evaluation


_decode: Final = msgspec.json.Decoder(EvaluationLine).decode


def evaluation_line(line: bytes) -> EvaluationLine | None:
    """Gives the results of an evaluation, or None for every other line and for unusual ones."""
    if not line.startswith(_BEGINNING):
        return None
    try:
        event = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return event if event.event_type == "evaluation_result" else None
