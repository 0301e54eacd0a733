"""What a log remembers of experiments that were run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mlgym.events import ExperimentState, ReproductionRecord
from mlgym.texts import one_line

VERDICT_WORDS: Final = {
    "identical": "identical",
    "within_tolerance": "equal within tolerance",
    "diverged": "diverged",
}
_GRAVITY: Final = ("diverged", "within_tolerance", "identical")
_MAX_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class ReproductionSummary:
    """What came of running experiments of a run again, all of them together.

    Args:
        verdict: the gravest one.
        num_identical, num_within_tolerance, num_diverged: experiments by their last verdict.
        experiment_id: the first experiment with the gravest one.
        record: what is remembered of it.
    """

    verdict: str
    num_identical: int
    num_within_tolerance: int
    num_diverged: int
    experiment_id: int
    record: ReproductionRecord


def reproduction_summary(experiments: Iterable[ExperimentState]) -> ReproductionSummary | None:
    """Gives what is remembered of a whole run; None where nothing of it was run again."""
    found = {one.experiment_id: one.reproduction for one in experiments if one.reproduction is not None}
    counts = Counter(record.verdict for record in found.values())
    gravest = next((verdict for verdict in _GRAVITY if counts[verdict]), None)
    if gravest is None:
        return None
    first = min(number for number, record in found.items() if record.verdict == gravest)
    return ReproductionSummary(
        gravest, counts["identical"], counts["within_tolerance"], counts["diverged"], first, found[first]
    )


def summary_text(summary: ReproductionSummary) -> str:
    """Gives a summary in a few words: `identical`, `2 of 3 identical`, `diverged in epoch 4`."""
    num_tried = summary.num_identical + summary.num_within_tolerance + summary.num_diverged
    name = VERDICT_WORDS.get(summary.verdict, summary.verdict)
    if num_tried > 1:
        num_alike = {"identical": summary.num_identical, "within_tolerance": summary.num_within_tolerance}
        name = f"{num_alike.get(summary.verdict, summary.num_diverged)} of {num_tried} {name}"
    where = summary.record.epoch
    return name if where is None or summary.verdict == "identical" else f"{name} in epoch {where}"


def reproduction_text(record: ReproductionRecord) -> str:
    """Gives a remembered verdict in a line: `identical (10 digests) in run 2026-11-23--16-14-30`."""
    where = [f"in epoch {record.epoch}"] if record.epoch is not None else []
    where += [f"at step {record.step}"] if record.step is not None else []
    where += [f"first in `{record.tensor}`"] if record.tensor else []
    parted = f", bits part {', '.join(where)}" if where else ""
    name = VERDICT_WORDS.get(record.verdict, record.verdict)
    digests = f"{record.num_digests} digest{'' if record.num_digests == 1 else 's'}"
    text = f"{name} ({digests}{parted}) in run {record.new_run_id}, of run {record.original_run_id}"
    return one_line(text, 300)


def reproduction_lines(experiments: Iterable[ExperimentState]) -> list[str]:
    """Gives a line for each experiment that was run again, or is a repetition, with its last verdict.

    The last ones say whether what a run decided on its way was decided again.
    """
    found = [(one.experiment_id, one.reproduction) for one in experiments if one.reproduction is not None]
    lines = [f"experiment {number} reproduced: {reproduction_text(record)}" for number, record in sorted(found)]
    more = [f"... and {len(lines) - _MAX_LISTED} more"] if len(lines) > _MAX_LISTED else []
    decided = dict.fromkeys((record.new_run_id, record.decisions) for _, record in found if record.decisions)
    return [*lines[:_MAX_LISTED], *more, *(one_line(f"{text}, in run {run_id}", 300) for run_id, text in decided)]
