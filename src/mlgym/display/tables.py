"""The tables of runs and experiments, and the same facts as JSON; both are folds over the event log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from mlgym.display.fitting import FittingTable
from mlgym.display.trial_text import trial_words
from mlgym.events import ExperimentState, RunState
from mlgym.texts import NOTHING, duration, first_line, key_text, number, short_heads, value_text
from mlgym.validation import Ranked, Selection, rank

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from mlgym.validation.report.reproductions import ReproductionSummary

_MARKS: Final = {
    "waiting": ("·", "dim"),
    "running": ("●", "blue"),
    "done": ("✓", "green"),
    "failed": ("✕", "red"),
    "interrupted": ("‖", "yellow"),
    "finished": ("✓", "green"),
    "crashed": ("✕", "red"),
}
_MAX_ERRORS: Final = 20
_RUN_COLUMNS: Final[dict[str, Literal["left", "right"]]] = {
    "run": "left", "name": "left", "status": "left", "done": "right", "failed": "right", "best": "right",
    "run again": "left", "started": "right", "time": "right",
}  # fmt: skip
_DETAILS_LEFT_OUT: Final = (("time",), ("time", "at epoch"), ("time", "at epoch", "status"))
_LEFT_OUT_WHEN_NARROW: Final = (
    (),
    ("started",),
    ("started", "time"),
    ("started", "time", "best"),
    ("started", "time", "best", "run again"),
    ("started", "time", "best", "run again", "name"),
    ("started", "time", "best", "run again", "name", "status"),
)


def status_text(status: str) -> Text:
    """Gives a status with its mark, never by colour alone."""
    from rich.text import Text

    mark, style = _MARKS.get(status, ("?", ""))
    return Text(f"{mark} {status}", style=style)


def experiments_table(state: RunState, selection: Selection | None, metrics: list[str] | None = None) -> Group:
    """Gives the experiments of a run, the best first: status, swept values, best and last metrics; errors below.

    Where the page is narrow, heads are shortened and the last metrics left out, one by one, then further details.

    Args:
        state: the run.
        selection: by what they are ranked; None where nothing was measured.
        metrics: further metrics whose last value gets a column; None for those of the same split.
    """
    from rich.console import Group

    ranked = rank(state, selection)
    # As the grid has them: the best experiment need not be the one whose keys come first.
    by_id = sorted(ranked, key=lambda one: one.experiment.experiment_id)
    swept = list(dict.fromkeys(key for one in by_id for key in one.experiment.swept))
    further = _further_metrics(state, selection) if metrics is None else metrics
    has_trials = any(trial_words(one.experiment.trial) for one in by_id)
    unit = progress_unit(state.experiments.values())
    columns = _Columns(swept, selection, further, unit=unit, has_trials=has_trials)
    layouts = [columns, columns.shortened()]
    if metrics is None:
        layouts += [columns.shortened(count) for count in range(len(further) - 1, -1, -1)]
        layouts += [replace(layouts[-1], left_out=names) for names in _DETAILS_LEFT_OUT]
    failed = [one.experiment for one in ranked if one.experiment.status == "failed"]
    tables = [FittingTable([partial(one.table, ranked) for one in layouts])] if ranked else []
    return Group(*tables, *_errors(sorted(failed, key=lambda one: one.experiment_id)))


@dataclass(frozen=True)
class _Columns:
    """The columns of one layout of the table."""

    swept: list[str]
    selection: Selection | None
    further: list[str]
    unit: Literal["epoch", "step"] = "epoch"
    has_trials: bool = False
    is_short: bool = False
    left_out: tuple[str, ...] = ()

    def shortened(self, num_further: int | None = None) -> _Columns:
        """Gives the layout with short heads and the first `num_further` metrics only."""
        return replace(self, further=self.further[:num_further], is_short=True)

    def table(self, ranked: list[Ranked]) -> Table:
        """Gives the table."""
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("id", justify="right")
        table.add_column("" if "status" in self.left_out else "status", no_wrap=True)
        if self.has_trials:
            table.add_column("trial")
        self._add(table, self.swept)
        if self.selection is not None:
            head = ("best\n" if self.is_short else "best ") + key_text(self.selection.metric)
            table.add_column(head, justify="right", style="bold")
            if "at epoch" not in self.left_out:
                table.add_column(self.unit if self.is_short else f"at {self.unit}", justify="right")
        self._add(table, self.further)
        table.add_column(f"{self.unit}s", justify="right")
        if "time" not in self.left_out:
            table.add_column("time", justify="right")
        for one in ranked:
            table.add_row(*self._cells(one))
        return table

    def _add(self, table: Table, keys: list[str]) -> None:
        for head in short_heads(keys) if self.is_short else map(key_text, keys):
            table.add_column(head, justify="right")

    def _cells(self, one: Ranked) -> list[Text | str]:
        experiment = one.experiment
        status = status_text(experiment.status)
        cells: list[Text | str] = [str(experiment.experiment_id), status[:1] if "status" in self.left_out else status]
        cells += [", ".join(trial_words(experiment.trial))] if self.has_trials else []
        cells += [value_text(experiment.swept[key]) if key in experiment.swept else "" for key in self.swept]
        if self.selection is not None:
            cells.append(number(one.best.value) if one.best else NOTHING)
            if "at epoch" not in self.left_out:
                cells.append(str(getattr(one.best, self.unit)) if one.best else NOTHING)
        for key in self.further:
            latest = experiment.latest(key)
            cells.append(number(latest.value) if latest else NOTHING)
        cells.append(epochs_text(experiment) if self.unit == "epoch" else steps_text(experiment))
        return cells if "time" in self.left_out else [*cells, duration(experiment.duration_s)]


def _further_metrics(state: RunState, selection: Selection | None) -> list[str]:
    split = selection.metric.partition("/")[0] if selection else ""
    keys = [key for key in state.metric_keys if key.startswith(f"{split}/") and key.count("/") == 1]
    return keys[:6]


def _errors(failed: list[ExperimentState]) -> list[Text]:
    """Gives a line for each error and who has it; a column would leave no room for the others."""
    from rich.text import Text

    who: dict[str, list[int]] = {}
    for one in failed:
        who.setdefault(first_line(one.error, 300), []).append(one.experiment_id)
    lines = [Text(f"{_experiments(ids)}: {error}", style="red") for error, ids in list(who.items())[:_MAX_ERRORS]]
    if len(who) > len(lines):
        lines.append(Text(f"... and {len(who) - len(lines)} more errors", style="red"))
    return [Text(), *lines] if lines else []


def _experiments(ids: list[int]) -> str:
    listed = ", ".join(str(one) for one in ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
    return f"experiment{'s' if len(ids) > 1 else ''} {listed}"


def epochs_text(experiment: ExperimentState) -> str:
    """Gives the finished epochs, as `8/10 stopped` where training ended before its last one."""
    finished = max((history[-1].epoch for history in experiment.metrics.values() if history), default=0)
    if not finished and not experiment.metrics:
        return NOTHING
    planned = planned_epochs(experiment)
    of_planned = f"{finished}/{planned}" if planned is not None and planned != finished else str(finished)
    return f"{of_planned} stopped" if experiment.stop_reason else of_planned


def steps_text(experiment: ExperimentState) -> str:
    """Gives the last step at which anything was measured."""
    steps = [history[-1].step for history in experiment.metrics.values() if history]
    return str(max(steps)) if steps else NOTHING


def progress_unit(experiments: Iterable[ExperimentState]) -> Literal["epoch", "step"]:
    """Gives what experiments count: steps where none of them says anything of epochs, as tracked loops may."""
    last = [history[-1] for one in experiments for history in one.metrics.values() if history]
    return "step" if any(point.step > 0 for point in last) and all(point.epoch == 0 for point in last) else "epoch"


def planned_epochs(experiment: ExperimentState) -> int | None:
    """Gives how many epochs there were to be at most; None where nothing says it."""
    if experiment.progress is not None and experiment.progress.num_epochs > 0:
        return experiment.progress.num_epochs
    root = experiment.config.get("experiment")
    epochs = root.get("epochs") if isinstance(root, dict) else None
    return epochs if isinstance(epochs, int) else None


def runs_table(runs: list[tuple[str, RunState]]) -> FittingTable:
    """Gives one row per run, as `(run id, state)`: name, status, experiments, best value, start, duration."""
    rows = [_run_cells(run_id, state) for run_id, state in runs]
    columns = [name for name in _RUN_COLUMNS if name != "run again" or any(row[name] for row in rows)]
    layouts = [[name for name in columns if name not in left_out] for left_out in _LEFT_OUT_WHEN_NARROW]
    return FittingTable([partial(_table_of_runs, rows, layout) for layout in layouts])


def _table_of_runs(rows: list[dict[str, Text | str]], columns: list[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        # The id is never cut: it is what the next command needs.
        table.add_column(name, justify=_RUN_COLUMNS[name], no_wrap=name == "run", overflow="fold")
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return table


def _run_cells(run_id: str, state: RunState) -> dict[str, Text | str]:
    facts = run_facts(run_id, state)
    best = facts["best"]
    started = datetime.fromtimestamp(state.started_at).strftime("%Y-%m-%d %H:%M") if state.started_at else NOTHING
    return {
        "run": run_id,
        "name": key_text(state.name or "") + (" (repetition)" if state.reproduces else ""),
        "status": status_text(state.status) if state.damage is None else status_text(state.status).append(", damaged"),
        "done": f"{facts['counts']['done']}/{facts['num_experiments']}",
        "failed": str(facts["counts"]["failed"] or ""),
        "best": f"{key_text(best['metric'])} {number(best['value'])}" if best else NOTHING,
        "run again": _run_again(state),
        "started": started,
        "time": duration(facts["duration_s"]),
    }


def _run_again(state: RunState) -> str:
    found = _reproduction(state)
    if found is None:
        return ""
    from mlgym.validation.report.reproductions import summary_text

    return summary_text(found)


def _reproduction(state: RunState) -> ReproductionSummary | None:
    if all(one.reproduction is None for one in state.experiments.values()):
        return None
    from mlgym.validation.report.reproductions import reproduction_summary

    return reproduction_summary(state.experiments.values())


def run_facts(run_id: str, state: RunState) -> dict[str, Any]:
    """Gives what `mlgym runs --json` says of one run."""
    from mlgym.validation import default_selection

    selection = default_selection(state)
    winner = next((one for one in rank(state, selection) if one.rank == 1), None)
    best = None
    if winner is not None and winner.best is not None and selection is not None:
        best = {
            "metric": selection.metric,
            "value": winner.best.value,
            "experiment_id": winner.experiment.experiment_id,
            "epoch": winner.best.epoch,
        }
    end = state.finished_at or (state.last_event_at if state.status != "running" else None)
    return {
        "run_id": run_id,
        "name": state.name,
        "reproduces": state.reproduces,
        "status": state.status,
        "num_experiments": state.num_experiments if state.num_experiments is not None else len(state.experiments),
        "counts": state.counts,
        "best": best,
        "reproduction": asdict(again) if (again := _reproduction(state)) else None,
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "duration_s": end - state.started_at if end and state.started_at else None,
        "problem": None if state.damage is None else state.damage.explained(run_id),
    }


def counts_text(state: RunState) -> str:
    """Gives how many experiments are in which status: `2 done, 1 failed`."""
    return ", ".join(f"{count} {status}" for status, count in state.counts.items() if count) or "no experiments yet"


def experiment_facts(one: Ranked) -> dict[str, Any]:
    """Gives what `mlgym show --json` says of one experiment."""
    experiment = one.experiment
    return {
        "experiment_id": experiment.experiment_id,
        "status": experiment.status,
        "rank": one.rank,
        "swept": experiment.swept,
        "trial": experiment.trial,
        "best": {"value": one.best.value, "epoch": one.best.epoch} if one.best else None,
        "latest": {key: history[-1].value for key, history in experiment.metrics.items() if history},
        "device": experiment.device,
        "duration_s": experiment.duration_s,
        "stop_reason": experiment.stop_reason,
        "error": experiment.error,
        "exit_signal": experiment.exit_signal,
        "checkpoints": list(experiment.checkpoints),
        "digest": experiment.digest.parameters if experiment.digest else None,
        "reproduction": asdict(experiment.reproduction) if experiment.reproduction else None,
    }
