"""Progress on stderr: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Protocol

from mlgym.display.output import console, duration, first_line, key_text, number, value_text
from mlgym.events import ExperimentState, RunState
from mlgym.validation import Selection, default_selection, rank

if TYPE_CHECKING:
    from rich.console import RenderableType

_MAX_SHOWN: Final = 12
_HEARTBEAT_S: Final = 30.0


class Display(Protocol):
    """Shows how far a run is."""

    def update(self, state: RunState) -> None:
        """Takes the state as it is now; called a few times a second."""

    def close(self) -> None:
        """Shows the last state and gives the terminal back."""


def open_display() -> Display:
    """Gives the display that fits stderr."""
    return LiveDisplay() if sys.stderr.isatty() else PlainDisplay()


class _Chosen:
    """What the run selects by, found once: the driver forgets the configs of experiments that have ended."""

    def __init__(self) -> None:
        self._selection: Selection | None = None

    def of(self, state: RunState) -> Selection | None:
        """Gives the selection, None as long as no config says it."""
        if self._selection is None and any(one.config for one in state.experiments.values()):
            self._selection = default_selection(state)
        return self._selection


class PlainDisplay:
    """Prints a line when an experiment starts or ends, and one every half minute in between."""

    def __init__(self) -> None:
        self._chosen = _Chosen()
        self._seen: dict[int, str] = {}
        self._last_line_s = time.monotonic()

    def update(self, state: RunState) -> None:
        """See `Display.update`."""
        selection = self._chosen.of(state)
        for experiment in state.experiments.values():
            if self._seen.get(experiment.experiment_id, "waiting") != experiment.status:
                self._seen[experiment.experiment_id] = experiment.status
                self._print(_status_line(state, experiment, selection))
        if time.monotonic() - self._last_line_s > _HEARTBEAT_S:
            self._print(_overall(state, selection))

    def close(self) -> None:
        """See `Display.close`."""

    def _print(self, line: str) -> None:
        self._last_line_s = time.monotonic()
        print(line, file=sys.stderr, flush=True)


class LiveDisplay:
    """Keeps a bar for the run and a line for each running experiment at the bottom of the terminal."""

    def __init__(self) -> None:
        from rich.live import Live

        self._chosen = _Chosen()
        self._failed: set[int] = set()
        self._live = Live(console=console(stderr=True), refresh_per_second=5, transient=True)
        self._live.start()

    def update(self, state: RunState) -> None:
        """See `Display.update`."""
        selection = self._chosen.of(state)
        for experiment in state.experiments.values():
            if experiment.status == "failed" and experiment.experiment_id not in self._failed:
                self._failed.add(experiment.experiment_id)
                self._live.console.print(_status_line(state, experiment, selection), markup=False, style="red")
        self._live.update(_page(state, selection))

    def close(self) -> None:
        """See `Display.close`."""
        self._live.stop()


def _status_line(state: RunState, experiment: ExperimentState, selection: Selection | None) -> str:
    who = f"experiment {experiment.experiment_id}"
    swept = " ".join(f"{key_text(key)}={value_text(value)}" for key, value in experiment.swept.items())
    if swept:
        who += f" ({swept})"
    if experiment.status == "running":
        return f"{who} running on {experiment.device or '?'}"
    if experiment.status == "failed":
        return f"{who} failed: {first_line(experiment.error, 300)}"
    point = experiment.best(selection.metric, selection.best) if selection else None
    score = f", best {selection.metric} {number(point.value)} at epoch {point.epoch}" if selection and point else ""
    counts = state.counts
    ended = counts["done"] + counts["failed"] + counts["interrupted"]
    time_taken = duration(experiment.duration_s)
    return f"{who} {experiment.status} in {time_taken}{score}  [{ended}/{state.num_experiments or '?'}]"


def _overall(state: RunState, selection: Selection | None) -> str:
    counts = state.counts
    total = state.num_experiments or len(state.experiments)
    parts = [f"{counts['done']}/{total} done"]
    parts += [f"{counts[status]} {status}" for status in ("running", "failed", "interrupted") if counts[status]]
    remaining_s = _remaining_s(state)
    if remaining_s is not None:
        parts.append(f"about {duration(remaining_s)} left")
    best = _best(state, selection)
    return ", ".join([*parts, *([best] if best else [])])


def _best(state: RunState, selection: Selection | None) -> str | None:
    winner = next((one for one in rank(state, selection) if one.rank == 1), None)
    if selection is None or winner is None or winner.best is None:
        return None
    return f"best {selection.metric} {number(winner.best.value)} (experiment {winner.experiment.experiment_id})"


def _remaining_s(state: RunState) -> float | None:
    finished = [one.duration_s for one in state.experiments.values() if one.status == "done" and one.duration_s]
    running = [one for one in state.experiments.values() if one.status == "running"]
    if not finished or not running:
        return None
    mean_s = sum(finished) / len(finished)
    waiting = state.counts["waiting"]
    now = time.time()
    begun_s = sum(max(0.0, mean_s - (now - one.started_at)) for one in running if one.started_at)
    return (waiting * mean_s + begun_s) / len(running)


def _page(state: RunState, selection: Selection | None) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    counts = state.counts
    total = state.num_experiments or 1
    head = Table.grid(padding=(0, 1))
    ended = counts["done"] + counts["failed"] + counts["interrupted"]
    head.add_row(ProgressBar(total=total, completed=ended, width=28), Text(_overall(state, selection)))
    running = [one for one in state.experiments.values() if one.status == "running"]
    body = Table.grid(padding=(0, 2))
    for experiment in running[:_MAX_SHOWN]:
        body.add_row(*_running_cells(experiment, selection))
    more = [Text(f"... and {len(running) - _MAX_SHOWN} more", style="dim")] if len(running) > _MAX_SHOWN else []
    return Group(head, body, *more)


def _running_cells(experiment: ExperimentState, selection: Selection | None) -> list[RenderableType]:
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    swept = " ".join(f"{key_text(key)}={value_text(value)}" for key, value in experiment.swept.items())
    cells: list[RenderableType] = [Text(f"{experiment.experiment_id:>4}", style="blue"), Text(swept, style="dim")]
    progress = experiment.progress
    if progress is None or experiment.started_at is None:
        return [*cells, Text("starting")]
    share = (progress.epoch + progress.batch / max(1, progress.num_batches)) / max(1, progress.num_epochs)
    elapsed_s = max(1e-3, progress.reported_at - experiment.started_at)
    rate = (progress.epoch * progress.num_batches + progress.batch) / elapsed_s
    left_s = elapsed_s / share - elapsed_s if share > 0 else None
    point = experiment.best(selection.metric, selection.best) if selection else None
    return [
        *cells,
        ProgressBar(total=1.0, completed=share, width=16),
        Text(f"epoch {progress.epoch + 1}/{progress.num_epochs}"),
        Text(f"{rate:.0f} steps/s" if progress.phase == "train" else f"evaluating {progress.split}"),
        Text(f"{duration(left_s)} left" if left_s is not None else ""),
        Text(f"best {number(point.value)}" if point else ""),
    ]
