"""Narrows the place where an experiment and its repetition part down to a step and a tensor, by further runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mlgym.api.recorded import Original, Repetition
from mlgym.api.repeat import INTERRUPTED, Launching, Watching, failure_of, repeat
from mlgym.errors import RunError
from mlgym.reproduction.comparison import Comparison, Parting, RunningComparison, compare
from mlgym.reproduction.results import ExperimentResults, Moment
from mlgym.reproduction.verdict import Bisection, Verdict

_EVERY_STEP: Final = "digest_every_n_steps"


@dataclass(frozen=True)
class Change:
    """In what the repetition was not to be like the original: `KEY=VALUE` texts, and a number of threads."""

    settings: Sequence[str]
    launching: Launching
    recorded: Launching

    @property
    def is_any(self) -> bool:
        """Whether anything was changed on purpose."""
        return bool(self.settings) or self.launching != self.recorded


class Bisector:
    """Makes the runs of a bisection, each with a digest at every step, and draws the conclusion."""

    def __init__(self, original: Original, change: Change) -> None:
        """Makes a bisector.

        Args:
            original: the run to be reproduced.
            change: what its repetition changed.
        """
        self._original = original
        self._change = change

    def bisect(self, verdict: Verdict) -> Verdict:
        """Gives the verdict with the place where the two part; the same one where their digests do not differ.

        Raises:
            RunError: a run for it failed.
        """
        parting = verdict.comparison.parting
        if parting is None or parting.evidence == "score":
            return verdict
        if parting.evidence == "digest" and parting.step is not None and parting.moment.step != 0:
            conclusion = "Both runs have a digest at that step and at the one before."
            return verdict.with_bisection(Bisection(parting=parting, conclusion=conclusion, run_ids=()))
        search = _Search(self._original, verdict, parting)
        if not search.has_step_digests:
            return verdict.with_bisection(Bisection(parting=parting, conclusion=search.no_step_digests, run_ids=()))
        return verdict.with_bisection(
            search.with_change(self._change) if self._change.is_any else search.twice(self._change)
        )


class _Search:
    """The search for one parting."""

    def __init__(self, original: Original, verdict: Verdict, parting: Parting) -> None:
        self._original = original
        self._verdict = verdict
        self._parting = parting
        self._number = verdict.experiment_id
        self._key = _key_of_training(original.config(self._number))
        self._run_ids: list[str] = []

    @property
    def has_step_digests(self) -> bool:
        return self._key is not None

    no_step_digests = "Its experiment is no `training`, which alone gives digests of single steps."

    def with_change(self, change: Change) -> Bisection:
        """Runs with and without the change; the run without it stands in for the original if it repeats it."""
        control = self._run(change.recorded, (), "control")
        against_original = compare(self._recorded, control)
        parting = _in_digests(against_original)
        if parting is not None:
            return self._found(
                parting,
                "With the recorded settings it does not repeat here either, so that the change is not the only cause"
                f"; what differs between machines, versions, code or data is: {self._causes()}.",
            )
        changed = self._run(change.launching, change.settings, "changed")
        return self._found_between(
            compare(control, changed),
            "With the recorded settings it repeats here, bit for bit, up to this place: the change is the cause."
            if against_original.parting is None
            else "With the recorded settings all digests repeat here up to this place: the change is the cause that "
            "they part. What is measured differs also without it.",
        )

    def twice(self, change: Change) -> Bisection:
        """Runs twice in the same way; if these two differ, nothing that could be recorded is the cause."""
        one = self._run(change.recorded, (), "first")
        other = self._run(change.recorded, (), "second")
        between = compare(one, other)
        parting = _in_digests(between)
        if parting is not None:
            return self._found(
                parting,
                "Two runs here, one after the other, part there too: something in the experiment is not determined by "
                "config and seed, such as the order of a set, the time, or an unseeded generator.",
            )
        return self._found_between(
            compare(self._recorded, one),
            f"It repeats here, bit for bit; so the cause lies in what differs from then: {self._causes()}.",
        )

    @property
    def _recorded(self) -> ExperimentResults:
        return self._original.results[self._number]

    def _causes(self) -> str:
        names = [f"{each.kind} {each.key}" for each in self._verdict.causes]
        return ", ".join(names) or "nothing that was recorded; data, code outside the config's modules, or the machine"

    def _found_between(self, comparison: Comparison, conclusion: str) -> Bisection:
        parting = _in_digests(comparison)
        if parting is None:
            return self._found(self._parting, "Repeated for this, they did not part: the difference comes and goes.")
        return self._found(parting, conclusion)

    def _found(self, parting: Parting, conclusion: str) -> Bisection:
        return Bisection(parting=parting, conclusion=conclusion, run_ids=tuple(self._run_ids))

    def _run(self, launching: Launching, settings: Sequence[str], name: str) -> ExperimentResults:
        """Runs the experiment with a digest at each step, up to the place that is known, and gives its results."""
        repetition = Repetition(self._original, [self._number], [*settings, f"{self._key}=1"])
        end = self._parting.moment
        running = RunningComparison(self._recorded)
        watching = Watching({self._number: running}, lambda each: _has_reached(each.new, end), lambda line: None)
        run_id = f"{self._verdict.new_run_id}-{name}-{self._number}"
        launching.tell(f"experiment {self._number}: looking at each step, {name} run {run_id}")
        summary = repeat(self._original, repetition, replace(launching, processes=1), watching, run_id)
        self._run_ids.append(summary.run_id)
        failure = failure_of(running, was_stopped=watching.has_stopped)
        if failure is not None:
            what = "was interrupted" if failure == INTERRUPTED else f"failed: {failure}"
            raise RunError(f"run {run_id}, made to find the place where experiment {self._number} parts, {what}")
        return running.new


def _in_digests(comparison: Comparison) -> Parting | None:
    """Gives where parameters and optimizer part; None where only what is measured does."""
    parting = comparison.parting
    return None if parting is None or parting.evidence == "score" else parting


def _has_reached(results: ExperimentResults, end: Moment) -> bool:
    return any(moment >= end for moment in results.digests)


def _key_of_training(config: dict[str, Any]) -> str | None:
    """Gives the key of the parameter that asks for digests of steps; None where the experiment has none."""
    root, key = config.get("experiment"), "experiment"
    while isinstance(root, str) and root.startswith("$"):
        key = root[1:]
        root = config.get("components", {}).get(key)
    return f"{key}.{_EVERY_STEP}" if isinstance(root, dict) and root.get("use") == "training" else None
