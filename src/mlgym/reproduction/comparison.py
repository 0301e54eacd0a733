"""Compares the results of an experiment with those of its repetition: whether they are the same, else where they part.

Digests are compared by their moments. At the end of an epoch both must have one; those within an epoch count where both
have them, so that a repetition may look closer than the original did. Scores are compared by epoch. What is missing is
named and is never equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from mlgym.events import Difference
from mlgym.reproduction.results import DigestEntry, ExperimentResults, Fingerprint, Moment, Steps

VerdictName: TypeAlias = Literal["identical", "within_tolerance", "diverged"]
Side: TypeAlias = Literal["original", "new"]
Evidence: TypeAlias = Literal["digest", "loss", "length", "score"]

DEFAULT_RTOL: Final = 1e-3
"""Largest relative difference of a metric that still counts as equal within tolerance."""
FARTHEST: Final = 2.0
"""The relative difference of two numbers of opposite sign and equal size, and of a number and NaN or infinity."""
_HASH_SHOWN: Final = 16


@dataclass(frozen=True, slots=True)
class Parting:
    """The first place where two experiments part.

    Args:
        moment: of the first digest, or else evaluation, that differs.
        epoch: the number of the epoch in which it happens, from 1; 0 for before training.
        steps: it happens in these steps; both the same where the step is known.
        evidence: what shows it: a `digest`, a `loss` within the steps before it, the `length` of the epoch, whose end
            is at another step, or nothing but a `score`.
        parts: what of the state differs there: `parameters`, `optimizer`; empty where the state is the same.
        tensor: the first tensor that differs; None where nobody knows it.
    """

    moment: Moment
    epoch: int
    steps: Steps
    evidence: Evidence
    parts: tuple[str, ...] = ()
    tensor: str | None = None

    @property
    def step(self) -> int | None:
        """The step where it is known, else None."""
        return self.steps.last if self.steps.first == self.steps.last else None


@dataclass(frozen=True, slots=True)
class Missing:
    """Results that one side lacks.

    Args:
        side: the side that lacks them.
        what: `digest`, `evaluation`, or a metric such as `val/f1_macro`.
        first: the first moment at which they are missing.
        count: how many there are.
    """

    side: Side
    what: str
    first: Moment
    count: int

    def __str__(self) -> str:
        whose = "the original run" if self.side == "original" else "the new run"
        things = f"{self.count} {self.what}{'s' if self.count > 1 else ''}"
        if self.what not in ("digest", "evaluation"):
            things = f"`{self.what}` {self.count} times" if self.count > 1 else f"`{self.what}`"
        return f"{whose} lacks {things} from epoch {self.first.epoch} on"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the results of two experiments compare.

    Args:
        num_digests: digests that both have.
        num_equal: those of them before the first that differs.
        num_scores: values of metrics that both have.
        parting: the first place where they part; None where all that both have is the same, bit for bit.
        largest: largest relative difference of each metric that both have, by `split/metric`; see `relative`.
        missing: what one of them lacks.
        differences: data and order of samples, where they differ.
        rtol: largest relative difference that is within tolerance.
    """

    num_digests: int
    num_equal: int
    num_scores: int
    parting: Parting | None
    largest: dict[str, float]
    missing: tuple[Missing, ...]
    differences: tuple[Difference, ...]
    rtol: float

    @property
    def verdict(self) -> VerdictName | None:
        """The verdict; None where there was nothing to compare.

        `identical`: at least one digest, and everything is equal bit for bit. `within_tolerance`: at least one metric,
        nothing missing, and no value differs by more than `rtol`. `diverged`: all else.
        """
        if not (self.num_digests or self.num_scores or self.missing):
            return None
        if self.missing:
            return "diverged"
        if self.parting is None and self.num_digests:
            return "identical"
        is_close = all(each <= self.rtol for each in self.largest.values())
        return "within_tolerance" if self.num_scores and is_close else "diverged"

    @property
    def worst(self) -> tuple[str, float] | None:
        """The metric that differs most and by how much; None where no metric differs."""
        found = max(self.largest.items(), key=lambda item: item[1], default=None)
        return found if found is not None and found[1] > 0 else None


def compare(original: ExperimentResults, new: ExperimentResults, *, rtol: float = DEFAULT_RTOL) -> Comparison:
    """Gives how the results of an experiment and of its repetition compare.

    Args:
        original: the results to be reproduced.
        new: those of the repetition.
        rtol: largest relative difference of a metric that counts as equal, >= 0.
    """
    shared = _shared(original, new)
    different = _first_different(original, new, shared)
    parting = _digest_parting(original, new, different) if different is not None else None
    largest: dict[str, float] = {}
    num_scores = 0
    for _, key, difference in _score_differences(original, new):
        num_scores += 1
        largest[key] = max(largest.get(key, 0.0), difference)
    return Comparison(
        num_digests=len(shared),
        num_equal=sum(different is None or moment < different for moment in shared),
        num_scores=num_scores,
        parting=parting or _score_parting(original, new),
        largest=largest,
        missing=tuple(_missing(original, new)),
        differences=(*_data_differences(original, new), *_order_difference(original, new, shared)),
        rtol=rtol,
    )


@dataclass(slots=True)
class RunningComparison:
    """Compares a repetition with the original as its events come.

    Args:
        original: the results to be reproduced.
        rtol: largest relative difference of a metric that counts as equal, >= 0.
        new: the results so far.
        num_equal: digests that were equal, before the first that was not.
        parting: where they part, once a digest differs.
        is_beyond_tolerance: whether a metric differs by more than `rtol`, so that the verdict is certain.
    """

    original: ExperimentResults
    rtol: float = DEFAULT_RTOL
    new: ExperimentResults = field(default_factory=ExperimentResults)
    num_equal: int = 0
    parting: Parting | None = None
    is_beyond_tolerance: bool = False

    def take(self, event: Any) -> None:
        """Takes one event of the repetition in, in the order of its log."""
        moment = self.new.take(event)
        if moment is None:
            return
        if event.get("event_type") == "digest":
            self._look_at_digest(moment)
        else:
            found = _score_differences(self.original, self.new, [moment.epoch])
            self.is_beyond_tolerance |= any(difference > self.rtol for _, _, difference in found)

    def result(self) -> Comparison:
        """Gives the comparison of what there is; what has not come yet counts as missing."""
        return compare(self.original, self.new, rtol=self.rtol)

    def _look_at_digest(self, moment: Moment) -> None:
        if self.parting is not None or not self._has_counterpart(moment):
            return
        if _is_equal(self.original, self.new, moment):
            self.num_equal += 1
        else:
            self.parting = _digest_parting(self.original, self.new, moment)

    def _has_counterpart(self, moment: Moment) -> bool:
        is_end = self.new.epoch_ends.get(moment.epoch) == moment
        return moment in self.original.digests or (is_end and moment.epoch in self.original.epoch_ends)


def relative(one: float, other: float) -> float:
    """Gives the difference of two values by the larger of their sizes: 0 for equal ones, at most `FARTHEST`.

    Two NaN are equal; NaN or an infinity is as far as can be from everything else.
    """
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0
    if not (math.isfinite(one) and math.isfinite(other)):
        return FARTHEST
    size = max(abs(one), abs(other))
    return abs(one / size - other / size)


def _shared(original: ExperimentResults, new: ExperimentResults) -> list[Moment]:
    """Gives the moments of new digests with a counterpart: at the same moment, or at the end of the same epoch."""
    ends = {moment for epoch, moment in new.epoch_ends.items() if epoch in original.epoch_ends}
    return sorted((original.digests.keys() & new.digests.keys()) | ends)


def _is_equal(original: ExperimentResults, new: ExperimentResults, moment: Moment) -> bool:
    """Tells whether two digests are equal; at the end of an epoch they never are where it has other steps."""
    one, other = original.digests.get(moment), new.digests[moment]
    if one is None:
        return False
    shared = one.losses.keys() & other.losses.keys()
    return (one.parameters, one.optimizer) == (other.parameters, other.optimizer) and all(
        one.losses[steps] == other.losses[steps] for steps in shared
    )


def _first_different(original: ExperimentResults, new: ExperimentResults, shared: Iterable[Moment]) -> Moment | None:
    return next((moment for moment in shared if not _is_equal(original, new, moment)), None)


def _digest_parting(original: ExperimentResults, new: ExperimentResults, different: Moment) -> Parting:
    epoch = _epoch_number(different, original, new)
    before = max((moment.step for moment in _shared(original, new) if moment < different), default=0)
    one, other = original.digests.get(different), new.digests[different]
    last = different.step if one is not None else min(different.step, original.epoch_ends[different.epoch].step)
    steps = Steps(min(before + 1, last), last)
    shown = _first_different_loss(original, new, steps)
    if one is None:
        return Parting(different, epoch, shown or steps, "length" if shown is None else "loss")
    parts = tuple(name for name in ("parameters", "optimizer") if getattr(one, name) != getattr(other, name))
    is_closer = shown is not None and (steps.first != steps.last or not parts)
    return Parting(
        moment=different,
        epoch=epoch,
        steps=shown if is_closer and shown is not None else steps,
        evidence="loss" if is_closer else "digest",
        parts=parts,
        tensor=_first_different_tensor(one, other, original.names or new.names),
    )


def _first_different_loss(original: ExperimentResults, new: ExperimentResults, within: Steps) -> Steps | None:
    traces = [_trace(results, within) for results in (original, new)]
    shared = sorted(traces[0].keys() & traces[1].keys())
    return next((steps for steps in shared if traces[0][steps] != traces[1][steps]), None)


def _trace(results: ExperimentResults, within: Steps) -> dict[Steps, str]:
    return {
        steps: each
        for digest in results.digests.values()
        for steps, each in digest.losses.items()
        if within.first <= steps.last and steps.first <= within.last
    }


def _epoch_number(moment: Moment, *sides: ExperimentResults) -> int:
    """Gives the number of the epoch that leads to a moment: within an epoch, it is not among the finished ones."""
    if moment.step <= 0:
        return moment.epoch
    is_end = any(side.epoch_ends.get(moment.epoch) == moment for side in sides)
    return moment.epoch if is_end else moment.epoch + 1


def _first_different_tensor(one: DigestEntry, other: DigestEntry, names: list[str]) -> str | None:
    pairs = list(zip(one.tensors, other.tensors, strict=False))
    index = next((i for i, (before, after) in enumerate(pairs) if before != after), None)
    if index is None:
        if len(one.tensors) == len(other.tensors) or not pairs:
            return None
        index = len(pairs)
    return names[index] if index < len(names) else f"tensor {index}"


def _score_differences(
    original: ExperimentResults, new: ExperimentResults, epochs: Iterable[int] | None = None
) -> Iterator[tuple[Moment, str, float]]:
    """Yields the relative difference of each metric that both have, tables included, as (moment, key, difference)."""
    for one, other in _evaluations(original, new, epochs):
        scores, new_scores = original.scores[one], new.scores[other]
        for key in scores.keys() & new_scores.keys():
            yield other, key, relative(scores[key], new_scores[key])
        tables, new_tables = original.tables[one], new.tables[other]
        for key in tables.keys() & new_tables.keys():
            yield other, key, _table_difference(tables[key], new_tables[key])


def _evaluations(
    original: ExperimentResults, new: ExperimentResults, epochs: Iterable[int] | None = None
) -> list[tuple[Moment, Moment]]:
    """Gives the moments at which both were evaluated after the same epoch."""
    by_epoch, new_by_epoch = ({moment.epoch: moment for moment in side.scores} for side in (original, new))
    shared = by_epoch.keys() & new_by_epoch.keys()
    wanted = shared if epochs is None else shared.intersection(epochs)
    return [(by_epoch[epoch], new_by_epoch[epoch]) for epoch in sorted(wanted)]


def _table_difference(one: list[list[float]], other: list[list[float]]) -> float:
    if [len(row) for row in one] != [len(row) for row in other]:
        return FARTHEST
    cells = zip((cell for row in one for cell in row), (cell for row in other for cell in row), strict=True)
    return max((relative(before, after) for before, after in cells), default=0.0)


def _score_parting(original: ExperimentResults, new: ExperimentResults) -> Parting | None:
    different = (moment for moment, _, difference in _score_differences(original, new) if difference > 0)
    moment = next(different, None)
    if moment is None:
        return None
    return Parting(moment, moment.epoch, Steps(moment.step, moment.step), "score")


def _missing(original: ExperimentResults, new: ExperimentResults) -> Iterator[Missing]:
    """Yields what one side lacks; a side that has no digests at all, as in old logs, lacks none."""
    evaluations = _evaluations(original, new)
    sides: tuple[tuple[Side, ExperimentResults, ExperimentResults, list[tuple[Moment, Moment]]], ...] = (
        ("new", original, new, evaluations),
        ("original", new, original, [(other, one) for one, other in evaluations]),
    )
    for side, has, lacks, pairs in sides:
        if lacks.digests or not lacks.scores:
            yield from _absent(
                side, "digest", (has.epoch_ends[epoch] for epoch in has.epoch_ends.keys() - lacks.epoch_ends.keys())
            )
        evaluated = {moment for moment, _ in pairs}
        yield from _absent(side, "evaluation", has.scores.keys() - evaluated)
        gone: dict[str, list[Moment]] = {}
        for one, other in pairs:
            for key in _keys(has, one) - _keys(lacks, other):
                gone.setdefault(key, []).append(one)
        for key in sorted(gone):
            yield from _absent(side, key, gone[key])


def _absent(side: Side, what: str, moments: Iterable[Moment]) -> Iterator[Missing]:
    if absent := sorted(moments):
        yield Missing(side, what, absent[0], len(absent))


def _keys(results: ExperimentResults, moment: Moment) -> set[str]:
    return {*results.scores[moment], *results.tables[moment]}


def _data_differences(original: ExperimentResults, new: ExperimentResults) -> Iterator[Difference]:
    for split in sorted(original.fingerprints.keys() & new.fingerprints.keys()):
        one, other = original.fingerprints[split], new.fingerprints[split]
        if one.covers == other.covers and one != other:
            hint = f"the samples of `{split}` are not those of the original run; bring its data back"
            yield Difference("data", split, _shown(one), _shown(other), True, hint)


def _shown(fingerprint: Fingerprint) -> str:
    return f"{fingerprint.num_samples} samples, sha256 {fingerprint.sha256[:_HASH_SHOWN]}"


def _order_difference(
    original: ExperimentResults, new: ExperimentResults, shared: Iterable[Moment]
) -> Iterator[Difference]:
    """Yields the first epoch whose samples came in another order; once orders differ, all later ones do."""
    for moment in shared:
        counterpart = moment if moment in original.digests else original.epoch_ends[moment.epoch]
        one, other = original.digests[counterpart].order, new.digests[moment].order
        if one is not None and other is not None and one != other:
            epoch = _epoch_number(moment, original, new)
            hint = "seed, sampler, batch size or number of samples of the training loader are not the same"
            yield Difference("order", f"epoch {epoch}", one[:_HASH_SHOWN], other[:_HASH_SHOWN], True, hint)
            return
