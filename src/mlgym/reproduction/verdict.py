"""The verdict on one experiment that was run again: what it is, as an event and as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import msgspec

from mlgym.events import Difference, ReproductionVerdict
from mlgym.reproduction.comparison import Comparison, Parting, VerdictName
from mlgym.reproduction.decisions import Decisions

IDENTICAL: Final = 0
FAILED: Final = 1
WITHIN_TOLERANCE: Final = 3
DIVERGED: Final = 4
_MAX_METRICS: Final = 4
_MAX_CAUSES: Final = 12
_LONGEST_VALUE: Final = 80
_HASH_SHOWN: Final = 12
_HASH: Final = re.compile(r"[0-9a-f]{40,}")


@dataclass(frozen=True, kw_only=True)
class Bisection:
    """What further runs found out about the place where two experiments part.

    Args:
        parting: where they part, as near as is known now.
        conclusion: what follows from it, in a sentence.
        run_ids: the runs that were made for it.
    """

    parting: Parting
    conclusion: str
    run_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of running an experiment again.

    Args:
        experiment_id: its number, the same in both runs.
        original_run_id: the run whose results were to be reproduced.
        new_run_id: the run that did it.
        comparison: how the results compare.
        differences: how settings, code, surroundings and data differ; what may change results comes first.
        determinism: of the new run, `bitwise` or `fast`.
        error: why the experiment failed in the new run; None where it did not.
        was_stopped: whether it was ended when it had diverged, before its last epoch.
        bisection: where exactly they part, where that was looked for.
        decisions: whether what the run decided on its way was decided again; None where it decided nothing.
    """

    experiment_id: int
    original_run_id: str
    new_run_id: str
    comparison: Comparison
    differences: tuple[Difference, ...] = ()
    determinism: str = "bitwise"
    error: str | None = None
    was_stopped: bool = False
    bisection: Bisection | None = None
    decisions: Decisions | None = None

    @property
    def verdict(self) -> VerdictName | None:
        """`identical`, `within_tolerance` or `diverged`; None where a failure left nothing that could be judged.

        What a failed experiment did not come to is no divergence; what it did until then may be.
        """
        found = self.comparison
        if self.error is not None and (found.parting is None or found.parting.evidence == "score"):
            return None
        return found.verdict

    @property
    def parting(self) -> Parting | None:
        """Where the two part, as near as is known; None where they don't."""
        return self.bisection.parting if self.bisection is not None else self.comparison.parting

    @property
    def causes(self) -> list[Difference]:
        """The differences that may change results."""
        return [difference for difference in self.differences if difference.changes_bits]

    @property
    def exit_code(self) -> int:
        """0 identical, 3 within tolerance, 4 diverged, 1 where the experiment failed."""
        if self.error is not None or self.verdict is None:
            return FAILED
        return {"identical": IDENTICAL, "within_tolerance": WITHIN_TOLERANCE, "diverged": DIVERGED}[self.verdict]

    def to_event(self, run_id: str) -> ReproductionVerdict | None:
        """Gives the event for the log of one of the two runs; None where there is no verdict."""
        if self.verdict is None:
            return None
        parting = self.parting
        first_missing = min((each.first.epoch for each in self.comparison.missing), default=None)
        return ReproductionVerdict(
            grid_search_id=run_id,
            experiment_id=self.experiment_id,
            original_run_id=self.original_run_id,
            new_run_id=self.new_run_id,
            verdict=self.verdict,
            num_digests=self.comparison.num_digests,
            epoch=first_missing if parting is None else parting.epoch,
            step=None if parting is None else parting.step,
            tensor=None if parting is None else parting.tensor,
            largest_relative_difference=dict(self.comparison.largest),
            differences=list(self.differences),
            determinism=self.determinism,
            decisions=None if self.decisions is None else self.decisions.to_text(),
        )

    @property
    def headline(self) -> str:
        """The verdict in a line."""
        who = f"experiment {self.experiment_id}"
        fast = "; determinism: fast" if self.determinism == "fast" else ""
        found = self.comparison
        if self.verdict is None:
            return f"{who}: failed, no verdict: {self.error}"
        if self.verdict == "identical":
            plural = "s" if found.num_digests > 1 else ""
            return f"{who}: identical ({found.num_digests} digest{plural}, bit for bit){fast}"
        if self.verdict == "within_tolerance":
            return f"{who}: equal within tolerance ({found.rtol:g}), {largest_text(found)}{fast}"
        return f"{who}: diverged{_where(self)}{fast}"

    def to_text(self) -> str:
        """Gives the verdict with all that is known of where and why, one fact a line."""
        return "\n".join([self.headline, *(f"  {line}" for line in self._details())])

    def _details(self) -> list[str]:
        found, parting, lines = self.comparison, self.parting, []
        if self.verdict == "within_tolerance" and parting is not None:
            lines.append(f"bits part {place_text(parting)}")
        if self.verdict == "diverged":
            lines += [largest_text(found)] if found.worst else []
            expected_gap = self.was_stopped and found.parting is not None
            told = found.missing[:1] if parting is None else ()  # in the headline
            lines += [
                str(each) for each in found.missing if each not in told and not (expected_gap and each.side == "new")
            ]
            lines += ["stopped there; `--keep-going` trains to the end"] if self.was_stopped else []
        if self.error is not None and self.verdict is not None:
            lines.append(f"failed then: {self.error}")
        if self.bisection is not None:
            lines.append(self.bisection.conclusion)
        if self.verdict != "identical":
            lines += causes_text(self.causes, was_failure=self.verdict is None)
        elif self.causes:
            lines.append(f"although these differ: {', '.join(difference_text(each) for each in self.causes)}")
        return lines

    def with_bisection(self, bisection: Bisection) -> Verdict:
        """Gives the same verdict with what a bisection found."""
        return replace(self, bisection=bisection)

    def __str__(self) -> str:
        return self.to_text()


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Gives the exit code of several verdicts: 1 where one failed, else 4, 3 or 0 by the worst.

    4, too, where the new results lead to other decisions than the run took.
    """
    verdicts = list(verdicts)
    codes = {verdict.exit_code for verdict in verdicts}
    codes |= {
        DIVERGED for each in verdicts if each.decisions and each.decisions.differ and each.decisions.from_new_results
    }
    return FAILED if FAILED in codes else max(codes, default=IDENTICAL)


def recorded_verdicts(events: Iterable[tuple[int, Any]]) -> Iterator[ReproductionVerdict]:
    """Yields the verdicts that a log holds, in its order; what is no whole verdict is passed over.

    Args:
        events: as `read_log` yields them.
    """
    for _, event in events:
        if isinstance(event, dict) and event.get("event_type") == ReproductionVerdict.event_type:
            with suppress(msgspec.ValidationError):
                yield msgspec.convert(event.get("payload"), ReproductionVerdict)


def place_text(parting: Parting) -> str:
    """Gives where two experiments part, such as `in epoch 2, at step 7, first in layer.weight`."""
    text = f"in epoch {parting.epoch}" if parting.epoch else "before training"
    steps = parting.steps
    if parting.evidence == "score":
        return f"{text}, in what is measured; parameters and optimizer are the same"
    if parting.evidence == "length":
        return f"{text}, which ends at another step"
    if parting.evidence == "loss":
        at = f"step {steps.last}" if parting.step is not None else f"steps {steps.first} to {steps.last}"
        text += f", at {at}, whose loss is the first that differs"
    elif parting.step is not None:
        text += f", at step {steps.last}"
    else:
        text += f", in steps {steps.first} to {steps.last}"
    if parting.parts == ("optimizer",):
        text += ", in the optimizer only"
    elif parting.parts == ("parameters",):
        text += ", in the parameters only"
    return f"{text}, first in `{parting.tensor}`" if parting.tensor else text


def largest_text(comparison: Comparison) -> str:
    """Gives the metrics that differ most, with their largest relative differences."""
    differing = sorted((item for item in comparison.largest.items() if item[1] > 0), key=lambda item: -item[1])
    if not differing:
        return "all metrics are equal" if comparison.num_scores else "no metrics to compare"
    shown = ", ".join(f"{key} {value:.2g}" for key, value in differing[:_MAX_METRICS])
    more = f" and {len(differing) - _MAX_METRICS} more" if len(differing) > _MAX_METRICS else ""
    return f"largest relative difference {shown}{more}"


def difference_text(difference: Difference, files: Mapping[str, str] = MappingProxyType({})) -> str:
    """Gives a difference as `threads: 1 -> 2`.

    Args:
        difference: the difference.
        files: path of each of the user's modules, by name, where it is to be said.
    """
    name = difference.key if difference.kind == difference.key else f"{difference.kind} {difference.key}"
    if difference.kind == "code" and difference.key in files:
        name += f" (`{files[difference.key]}`)"
    return f"{name}: {_value(difference.original)} -> {_value(difference.new)}"


def causes_text(causes: Sequence[Difference], *, was_failure: bool = False) -> list[str]:
    """Gives a line for each difference that may be the cause, with what to do about it."""
    if not causes:
        return [] if was_failure else ["nothing that was recorded differs: see `--bisect`"]
    lines = [
        f"differs: {difference_text(each)}{f' ({each.hint})' if each.hint else ''}" for each in causes[:_MAX_CAUSES]
    ]
    return [*lines, *([f"... and {len(causes) - _MAX_CAUSES} more"] if len(causes) > _MAX_CAUSES else [])]


def _where(verdict: Verdict) -> str:
    if verdict.parting is not None:
        return f" {place_text(verdict.parting)}"
    return f": {verdict.comparison.missing[0]}" if verdict.comparison.missing else ""


def _value(value: object) -> str:
    text = "nothing" if value is None else str(value)
    longest = _HASH_SHOWN if _HASH.fullmatch(text) else _LONGEST_VALUE
    return text if len(text) <= longest else f"{text[:longest]}\N{HORIZONTAL ELLIPSIS}"
