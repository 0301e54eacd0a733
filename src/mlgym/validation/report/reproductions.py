"""What a log remembers of experiments that were run again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mlgym.events import ExperimentState, ReproductionRecord
from mlgym.texts import one_line

VERDICT_WORDS: Final = {
    "identical": "identical",
    "within_tolerance": "equal within tolerance",
    "diverged": "diverged",
}
_MAX_LISTED: Final = 20


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
    """Gives a line for each experiment that was run again, or is a repetition, with its last verdict."""
    found = [(one.experiment_id, one.reproduction) for one in experiments if one.reproduction is not None]
    lines = [f"experiment {number} reproduced: {reproduction_text(record)}" for number, record in sorted(found)]
    more = [f"... and {len(lines) - _MAX_LISTED} more"] if len(lines) > _MAX_LISTED else []
    return [*lines[:_MAX_LISTED], *more]
