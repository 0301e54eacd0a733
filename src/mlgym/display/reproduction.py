"""What people see of reproductions: lines while they go on, verdicts afterwards, those that a log remembers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from mlgym.reproduction.decisions import Decisions
from mlgym.reproduction.verdict import Verdict, exit_code
from mlgym.texts import one_line, plain
from mlgym.validation.report.reproductions import VERDICT_WORDS


def tell(line: str) -> None:
    """Says something to the person who waits: a line on stderr, above a live display where there is one."""
    with suppress(OSError):  # a terminal that is gone must not cost what is on its way
        print(one_line(line, 400), file=sys.stderr, flush=True)


def verdicts_text(verdicts: Sequence[Verdict]) -> str:
    """Gives the verdicts for people, one after the other, and how many there are of each kind."""
    parts = [plain(verdict.to_text()) for verdict in verdicts]
    if len(verdicts) > 1:
        names = [verdict.verdict or "failed" for verdict in verdicts]
        kinds = dict.fromkeys(names)
        parts.append(", ".join(f"{names.count(kind)} {VERDICT_WORDS.get(kind, kind)}" for kind in kinds))
    if (decisions := _decisions(verdicts)) is not None:
        parts.append(plain(decisions.to_text()))
    return "\n".join(parts)


def verdicts_facts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Gives the verdicts for scripts."""
    decisions = _decisions(verdicts)
    return {
        "exit_code": exit_code(verdicts),
        "verdicts": [_facts(verdict) for verdict in verdicts],
        "decisions": None if decisions is None else decisions.to_dict(),
    }


def _decisions(verdicts: Sequence[Verdict]) -> Decisions | None:
    """Gives what holds for a whole run, and so for each of its experiments."""
    return next((verdict.decisions for verdict in verdicts), None)


def _facts(verdict: Verdict) -> dict[str, Any]:
    parting, found, bisection = verdict.parting, verdict.comparison, verdict.bisection
    return {
        "experiment_id": verdict.experiment_id,
        "original_run_id": verdict.original_run_id,
        "new_run_id": verdict.new_run_id,
        "verdict": verdict.verdict,
        "num_digests": found.num_digests,
        "num_equal_digests": found.num_equal,
        "epoch": None if parting is None else parting.epoch,
        "step": None if parting is None else parting.step,
        "steps": None if parting is None else list(parting.steps),
        "evidence": None if parting is None else parting.evidence,
        "parts": [] if parting is None else list(parting.parts),
        "tensor": None if parting is None else parting.tensor,
        "rtol": found.rtol,
        "largest_relative_difference": found.largest,
        "missing": [str(each) for each in found.missing],
        "differences": [msgspec.to_builtins(each) for each in verdict.differences],
        "determinism": verdict.determinism,
        "error": verdict.error,
        "bisection": None
        if bisection is None
        else {"conclusion": bisection.conclusion, "run_ids": list(bisection.run_ids)},
    }
