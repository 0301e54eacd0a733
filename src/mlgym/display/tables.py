"""The tables of runs and experiments, and the same facts as JSON; both are folds over the event log."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from mlgym.display.output import NOTHING, duration, number, plain, value_text
from mlgym.events import ExperimentState, RunState
from mlgym.validation import Ranked, Selection, rank

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_MARKS: Final = {
    "waiting": ("·", "dim"),
    "running": ("●", "blue"),
    "done": ("✓", "green"),
    "failed": ("✕", "red"),
    "interrupted": ("‖", "yellow"),
    "finished": ("✓", "green"),
    "crashed": ("✕", "red"),
}


def status_text(status: str) -> Text:
    """Gives a status with its mark, never by colour alone."""
    from rich.text import Text

    mark, style = _MARKS.get(status, ("?", ""))
    return Text(f"{mark} {status}", style=style)


def experiments_table(state: RunState, selection: Selection | None, metrics: list[str] | None = None) -> Table:
    """Gives the experiments of a run, the best first: status, swept values, best and last metrics, error.

    Args:
        state: the run.
        selection: by what they are ranked; None where nothing was measured.
        metrics: further metrics whose last value gets a column; None for those of the same split.
    """
    from rich.table import Table
    from rich.text import Text

    ranked = rank(state, selection)
    swept = list(dict.fromkeys(key for one in ranked for key in one.experiment.swept))
    columns = _further_metrics(state, selection) if metrics is None else metrics
    has_errors = any(one.experiment.error for one in ranked)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("id", justify="right")
    table.add_column("status", no_wrap=True)
    for key in swept:
        table.add_column(Text(plain(key)), justify="right")
    if selection is not None:
        table.add_column(Text(f"best {selection.metric}"), justify="right", style="bold")
        table.add_column("at epoch", justify="right")
    for key in columns:
        table.add_column(Text(plain(key)), justify="right")
    table.add_column("epochs", justify="right")
    table.add_column("time", justify="right")
    if has_errors:
        table.add_column("error", overflow="fold")
    for one in ranked:
        table.add_row(*_cells(one, swept, selection, columns, has_errors))
    return table


def _cells(
    one: Ranked, swept: list[str], selection: Selection | None, columns: list[str], has_errors: bool
) -> list[Text | str]:
    from rich.text import Text

    experiment = one.experiment
    cells: list[Text | str] = [str(experiment.experiment_id), status_text(experiment.status)]
    cells += [Text(value_text(experiment.swept[key]) if key in experiment.swept else "") for key in swept]
    if selection is not None:
        cells += [number(one.best.value) if one.best else NOTHING, str(one.best.epoch) if one.best else NOTHING]
    for key in columns:
        latest = experiment.latest(key)
        cells.append(number(latest.value) if latest else NOTHING)
    cells += [_epochs(experiment), duration(experiment.duration_s)]
    if has_errors:
        cells.append(Text(plain(_first_line(experiment.error)), style="red"))
    return cells


def _further_metrics(state: RunState, selection: Selection | None) -> list[str]:
    split = selection.metric.partition("/")[0] if selection else ""
    keys = [key for key in state.metric_keys if key.startswith(f"{split}/") and key.count("/") == 1]
    return keys[:6]


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]


def _epochs(experiment: ExperimentState) -> str:
    finished = max((history.epochs[-1] for history in experiment.metrics.values() if history), default=0)
    return str(finished) if finished or experiment.metrics else NOTHING


def runs_table(runs: list[tuple[str, RunState]]) -> Table:
    """Gives one row per run, as `(run id, state)`: name, status, experiments, best value, start, duration."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for header, justify in (("run", "left"), ("name", "left"), ("status", "left"), ("experiments", "right")):
        table.add_column(header, justify=justify, no_wrap=header != "name")  # type: ignore[arg-type]
    for header in ("failed", "best", "started", "time"):
        table.add_column(header, justify="right")
    for run_id, state in runs:
        facts = run_facts(run_id, state)
        best = facts["best"]
        table.add_row(
            run_id,
            Text(plain(state.name or "")),
            status_text(state.status),
            f"{facts['counts']['done']}/{facts['num_experiments']}",
            str(facts["counts"]["failed"] or ""),
            Text(f"{best['metric']} {number(best['value'])}") if best else NOTHING,
            datetime.fromtimestamp(state.started_at).strftime("%Y-%m-%d %H:%M") if state.started_at else NOTHING,
            duration(facts["duration_s"]),
        )
    return table


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
        "status": state.status,
        "num_experiments": state.num_experiments if state.num_experiments is not None else len(state.experiments),
        "counts": state.counts,
        "best": best,
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "duration_s": end - state.started_at if end and state.started_at else None,
    }


def experiment_facts(one: Ranked) -> dict[str, Any]:
    """Gives what `mlgym show --json` says of one experiment."""
    experiment = one.experiment
    return {
        "experiment_id": experiment.experiment_id,
        "status": experiment.status,
        "rank": one.rank,
        "swept": experiment.swept,
        "best": {"value": one.best.value, "epoch": one.best.epoch} if one.best else None,
        "latest": {key: history[-1].value for key, history in experiment.metrics.items() if history},
        "device": experiment.device,
        "duration_s": experiment.duration_s,
        "error": experiment.error,
        "exit_signal": experiment.exit_signal,
        "checkpoints": list(experiment.checkpoints),
        "digest": experiment.digest.parameters if experiment.digest else None,
    }
