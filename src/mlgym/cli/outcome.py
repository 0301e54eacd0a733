"""What a run says at its end: its experiments, the best first, and how to go on."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlgym.display.output import console, print_json
from mlgym.names import DEFAULT_STORAGE, TRACKED

if TYPE_CHECKING:
    from mlgym.api import Run
    from mlgym.events import RunState


def show_results(finished: Run, *, as_json: bool) -> None:
    """Prints what a finished run found, the best first, and what to do next.

    That is its experiments; where these are folds or seeds of configurations, the configurations.
    """
    from mlgym.display.report_page import summary
    from mlgym.display.tables import counts_text, experiment_facts, experiments_table, run_facts
    from mlgym.validation import default_selection, rank

    state = finished.state
    selection = default_selection(state)
    if as_json:
        experiments: list[dict[str, Any]] = [experiment_facts(one) for one in rank(state, selection)]
        chosen = {"metric": selection.metric, "best": selection.best} if selection else None
        facts = run_facts(finished.run_id, state) | {"path": str(finished.path), "selection": chosen}
        print_json(facts | {"experiments": experiments})
        return
    report = finished.report().facts
    has_several = report.nested is not None or any(len(one.scores) > 1 for one in report.configurations)
    console().print(summary(report) if has_several else experiments_table(state, selection))
    elsewhere = storage_option(finished.path.parent)
    if state.status != "finished":
        print(f"\n{state.status}: {counts_text(state)}", file=sys.stderr)
    next_steps = [f"run folder: {finished.path}", f"show again: mlgym show {finished.run_id}{elsewhere}"]
    next_steps += [f"report: mlgym report {finished.run_id}{elsewhere} --to report.html"] if has_several else []
    next_steps += ways_on(finished.run_id, state, finished.path.parent)
    print("\n" + "\n".join(next_steps), file=sys.stderr)


def can_resume(state: RunState) -> bool:
    """Tells whether a run that MLgym drives ended before all its experiments had."""
    return state.status in ("interrupted", "crashed") and state.validation_mode != TRACKED


def ways_on(run_id: str, state: RunState, storage: Path) -> list[str]:
    """Gives a line for each command with which a run that has ended can go on, and for what tells why it failed."""
    command = f"mlgym resume {run_id}{storage_option(storage)}"
    is_repetition = state.reproduces is not None  # begun anew rather than resumed
    lines = [f"resume with: {command}"] if can_resume(state) and not is_repetition else []
    failed = [number for number, one in state.experiments.items() if one.status == "failed" and one.stacktrace]
    if failed:
        lines.append(f"where it failed: mlgym show {run_id}{storage_option(storage)} -e {failed[0]}")
    if state.status != "running" and state.validation_mode != TRACKED and not is_repetition and _can_retry(state):
        lines.append(f"try failed experiments again: {command} --retry-failed")
    return lines


def _can_retry(state: RunState) -> bool:
    """Tells whether an experiment failed that still counts; a winner stands, whatever its competitors would come to."""
    decided = {fold for fold, selection in state.selections.items() if selection.configuration is not None}
    return any(
        one.status == "failed" and not (one.trial.get("role") == "inner" and one.trial.get("outer_fold") in decided)
        for one in state.experiments.values()
    )


def storage_option(storage: Path) -> str:
    """Gives what a command needs to find a run of a storage folder; nothing for the usual one."""
    is_usual = storage.absolute() == Path(DEFAULT_STORAGE).absolute()
    return "" if is_usual else f" --storage {shlex.quote(str(storage))}"
