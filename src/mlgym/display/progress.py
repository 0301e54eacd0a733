"""Progress on stderr: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import Final, Protocol

from mlgym.display.output import console
from mlgym.display.standing import Standing
from mlgym.display.trial_text import trial_words
from mlgym.events import ExperimentState, RunState
from mlgym.names import did_you_mean
from mlgym.texts import duration, first_line, key_text, number, rough_duration, value_text

_HEARTBEAT_S: Final = 30.0
_ENDED: Final = ("done", "failed", "interrupted")
_DRIVER: Final = "mlgym.execution"


class Display(Protocol):
    """Shows how far a run is."""

    def update(self, state: RunState) -> None:
        """Takes the state as it is now; called a few times a second."""

    def close(self) -> None:
        """Shows the last state and gives the terminal back."""


def open_display(before: RunState | None = None) -> Display:
    """Gives the display that fits stderr: a terminal that cannot move its cursor gets lines too.

    Args:
        before: a run as it stood before this process took it up, which is not told again; None for a new one.
    """
    return _Patient(_fitting_display(before or RunState()))


class _Patient:
    """Shows a run as long as stderr takes it: a terminal that is gone, or a full disk, must not cost the run."""

    def __init__(self, display: Display) -> None:
        self._display: Display | None = display

    def update(self, state: RunState) -> None:
        """See `Display.update`."""
        if self._display is not None:
            try:
                self._display.update(state)
            except OSError:
                self._display = None

    def close(self) -> None:
        """See `Display.close`."""
        if self._display is not None:
            with suppress(OSError):
                self._display.close()


def _fitting_display(before: RunState) -> Display:
    can_move = os.environ.get("TERM", "").lower() not in ("", "dumb", "unknown")
    kind = LiveDisplay if sys.stderr.isatty() and can_move else PlainDisplay
    return kind(before)


class PlainDisplay:
    """Prints a line when an experiment starts or ends, and one every half minute in between."""

    def __init__(self, before: RunState) -> None:
        self._standing = Standing()
        # What a driver that died left running is told as interrupted when it comes to an end, not now.
        self._seen: dict[int, str] = {
            key: "interrupted" if one.status == "running" else one.status for key, one in before.experiments.items()
        }
        self._warnings = _Warnings(before)
        self._last_line_s = time.monotonic()

    def update(self, state: RunState) -> None:
        """See `Display.update`."""
        self._standing.update(state)
        for line in [*self._warnings.new(state), *_unranked(state, self._standing)]:
            self._print(line)
        changed = [
            one for one in state.experiments.values() if self._seen.get(one.experiment_id, "waiting") != one.status
        ]
        # Several may have ended since the last look: each has the count of its own line.
        num_ended = _num_ended(state) - sum(one.status in _ENDED for one in changed)
        for experiment in changed:
            num_ended += experiment.status in _ENDED
            self._seen[experiment.experiment_id] = experiment.status
            if experiment.status != "waiting":  # for another attempt
                self._print(status_line(state, experiment, self._standing, num_ended))
        if time.monotonic() - self._last_line_s > _HEARTBEAT_S:
            best = best_line(self._standing)
            self._print(overall_line(state, self._standing) + (f", {best}" if best else ""))

    def close(self) -> None:
        """See `Display.close`."""

    def _print(self, line: str) -> None:
        self._last_line_s = time.monotonic()
        print(line, file=sys.stderr, flush=True)


class LiveDisplay:
    """Keeps a bar for the run and a line for each running experiment at the bottom of the terminal."""

    def __init__(self, before: RunState) -> None:
        from rich.live import Live

        self._standing = Standing()
        self._failed = {key for key, one in before.experiments.items() if one.status == "failed"}
        self._warnings = _Warnings(before)
        self._live = Live(console=console(stderr=True), refresh_per_second=5, transient=True)
        self._live.start()

    def update(self, state: RunState) -> None:
        """See `Display.update`."""
        from mlgym.display.live_page import live_page

        self._standing.update(state)
        for line in [*self._warnings.new(state), *_unranked(state, self._standing)]:
            self._live.console.print(line, style="yellow")
        for experiment in state.experiments.values():
            if experiment.status == "failed" and experiment.experiment_id not in self._failed:
                self._failed.add(experiment.experiment_id)
                self._live.console.print(status_line(state, experiment, self._standing), style="red")
        lines = (overall_line(state, self._standing), best_line(self._standing))
        self._live.update(live_page(state, self._standing, *lines, height=self._live.console.height))

    def close(self) -> None:
        """See `Display.close`."""
        self._live.stop()


class _Warnings:
    """What the driver has to say, each line once."""

    def __init__(self, before: RunState) -> None:
        self._told_until = before.last_event_at or 0.0

    def new(self, state: RunState) -> list[str]:
        """Gives the lines that came since the last call."""
        lines = [
            line
            for line in state.recent_logs
            if line.logger == _DRIVER and line.level in ("warning", "error") and line.logged_at > self._told_until
        ]
        if lines:
            self._told_until = lines[-1].logged_at
        return [f"{line.level}: {first_line(line.message, 1000)}" for line in lines]


def _unranked(state: RunState, standing: Standing) -> list[str]:
    """Gives a warning, once, where nothing will be ranked since nobody measures what decides: hours early."""
    metric = standing.unmeasured(state)
    if metric is None:
        return []
    nearest = did_you_mean(metric, state.metric_keys)
    what = f"the run selects by `{key_text(metric)}`, which was not measured{nearest}"
    return [f"warning: {what}; `mlgym show` and `mlgym report` rank by another one with --metric"]


def _num_ended(state: RunState) -> int:
    return sum(state.counts[status] for status in _ENDED)


def status_line(state: RunState, experiment: ExperimentState, standing: Standing, num_ended: int | None = None) -> str:
    """Gives a line that says how an experiment stands or ended, and how many had ended by then; None for all."""
    who = f"experiment {experiment.experiment_id}"
    swept = " ".join(f"{key_text(key)}={value_text(value)}" for key, value in experiment.swept.items())
    facts = ", ".join([*([swept] if swept else []), *trial_words(experiment.trial)])
    if facts:
        who += f" ({facts})"
    if experiment.status == "running":
        return f"{who} running on {key_text(experiment.device or '?')}"
    if experiment.status == "failed":
        return f"{who} failed: {first_line(experiment.error, 300)}"
    point = standing.best_of(experiment)
    metric = standing.selection.metric if standing.selection else ""
    score = f", best {key_text(metric)} {number(point.value)} at epoch {point.epoch}" if point else ""
    # One that was stopped before it began has taken none.
    time_taken = "" if experiment.duration_s is None else f" in {duration(experiment.duration_s)}"
    until = f" until epoch {experiment.until_epoch}" if experiment.status == "done" and experiment.until_epoch else ""
    # A repetition has few of the run's experiments, under their numbers.
    of_all = (
        ""
        if state.reproduces
        else f"  [{_num_ended(state) if num_ended is None else num_ended}/{state.num_experiments or '?'}]"
    )
    return f"{who} {experiment.status}{until}{time_taken}{score}{of_all}"


def overall_line(state: RunState, standing: Standing) -> str:
    """Gives how many experiments are in which status, and about how long the rest takes."""
    counts = state.counts
    total = state.num_experiments or len(state.experiments)
    parts = [f"{counts['done']}/{total} done"]
    parts += [f"{counts[status]} {status}" for status in ("running", "failed", "interrupted") if counts[status]]
    if counts["waiting"] == total:
        parts.append("starting")
    if standing.left_s is not None:
        parts.append(f"about {rough_duration(standing.left_s)} left")
    return ", ".join(parts)


def best_line(standing: Standing) -> str:
    """Gives the best value so far and who has it; nothing where there is none."""
    if standing.selection is None or standing.best is None:
        return ""
    experiment_id, point = standing.best
    return f"best {key_text(standing.selection.metric)} {number(point.value)} (experiment {experiment_id})"
