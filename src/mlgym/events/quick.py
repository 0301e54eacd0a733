"""A short cut through the lines that most of a log is made of: the results of evaluations.

It takes only what `fold` would understand in the same way; whatever is unusual about a line leaves it to the long way.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec

_BEGINNING: Final = b'{"event_type":"evaluation_result",'
_NAMES: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_LARGEST: Final = 1e299


_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Score(msgspec.Struct, gc=False):
    """One value; exactly one of `metric` and `loss` names it."""

    split: str
    metric: str | None = None
    loss: str | None = None
    score: float | None = None
    non_finite: str | None = None

    @property
    def value(self) -> float:
        """The number, also where JSON has none for it."""
        return _NAMES.get(self.non_finite or "", math.nan) if self.score is None else self.score


class Evaluation(msgspec.Struct, gc=False):
    """The payload of an evaluation whose values are all numbers."""

    experiment_id: _Integer
    epoch: _Integer
    step: _Integer
    metric_scores: list[Score]
    loss_scores: list[Score]
    grid_search_id: str | None = None
    tables: list[msgspec.Raw] = []


class EvaluationLine(msgspec.Struct, gc=False):
    """A line of the log."""

    event_type: str
    creation_ts: _Integer
    payload: Evaluation


_decoder: Final = msgspec.json.Decoder(EvaluationLine)


def evaluation_line(line: bytes) -> EvaluationLine | None:
    """Gives the results of an evaluation, or None for every other line and for unusual ones."""
    if not line.startswith(_BEGINNING):
        return None
    try:
        event = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    payload = event.payload
    if event.event_type != "evaluation_result" or payload.tables or payload.experiment_id < 0:
        return None
    for score in payload.metric_scores:
        if not score.metric or not score.split or _is_huge(score):
            return None
    for score in payload.loss_scores:
        if not score.loss or not score.split or _is_huge(score):
            return None
    return event


def _is_huge(score: Score) -> bool:
    # Whole numbers of so many digits are none for `Fields.number`.
    return score.score is not None and not -_LARGEST < score.score < _LARGEST
