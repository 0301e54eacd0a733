"""What a progress display says beyond the state of a run: the best value so far, step rates, the time left."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from mlgym.events import ExperimentState, MetricPoint, Progress, RunState
from mlgym.validation import Selection, default_selection


@dataclass(frozen=True)
class _Course:
    """An experiment between its first report and its last one.

    What comes before the first report - building components, loading data - happens once and says nothing about the
    rest. Batches of an evaluation are no steps, so `steps` stands still in one.
    """

    first_share: float
    share: float
    first_at: float
    at: float
    first_steps: int
    steps: int
    steps_at: float

    @classmethod
    def begin(cls, progress: Progress) -> _Course:
        share, at = share_done(progress), progress.reported_at
        steps = _steps(progress) or 0
        return cls(share, share, at, at, steps, steps, at)

    def go_on(self, progress: Progress) -> _Course:
        there = replace(self, share=max(self.share, share_done(progress)), at=progress.reported_at)
        steps = _steps(progress)
        return there if steps is None else replace(there, steps=steps, steps_at=progress.reported_at)

    @property
    def left_s(self) -> float | None:
        done = self.share - self.first_share
        return (1 - self.share) * (self.at - self.first_at) / done if done > 0 and self.at > self.first_at else None

    @property
    def steps_per_s(self) -> float | None:
        took_s = self.steps_at - self.first_at
        return (self.steps - self.first_steps) / took_s if took_s > 0 else None


class Standing:
    """How a run stands; looks once at each experiment that has ended, so that 100,000 of them cost little."""

    def __init__(self) -> None:
        self.selection: Selection | None = None
        self.best: tuple[int, MetricPoint] | None = None
        self.left_s: float | None = None
        self._settled: set[int] = set()
        self._courses: dict[int, _Course] = {}
        self._num_done = 0
        self._done_s = 0.0
        self._num_slots = 0
        self._has_looked = False

    def update(self, state: RunState) -> None:
        """Takes the state as it is now."""
        # Found once: the driver forgets the configs of experiments that have ended.
        if self.selection is None and any(one.config for one in state.experiments.values()):
            self.selection = default_selection(state)
        running = []
        for experiment in state.experiments.values():
            if experiment.status == "running":
                running.append(experiment)
                # It may have ended before: interrupted, or with fewer epochs.
                self._settled.discard(experiment.experiment_id)
                self._follow(experiment)
                self._compare(experiment)
            elif experiment.status != "waiting" and experiment.experiment_id not in self._settled:
                self._settle(experiment)
        self._num_slots = max(self._num_slots, len(running))
        self.left_s = self._estimate(running, state.counts["waiting"])

    def best_of(self, experiment: ExperimentState) -> MetricPoint | None:
        """Gives the best value of an experiment by what the run selects by."""
        return experiment.best(self.selection.metric, self.selection.best) if self.selection else None

    def unmeasured(self, state: RunState) -> str | None:
        """Gives the metric that decides, once, where the first evaluation had others of its split and not this one."""
        if self.selection is None or self._has_looked:
            return None
        metric, split = self.selection.metric, f"{self.selection.split}/"
        evaluated = (one for one in state.experiments.values() if any(key.startswith(split) for key in one.metrics))
        first = next(evaluated, None)
        self._has_looked = first is not None
        return metric if first is not None and metric not in first.metrics else None

    def left_of(self, experiment: ExperimentState) -> float | None:
        """Gives about how long a running experiment still takes, in s; None where it has reported too little."""
        course = self._courses.get(experiment.experiment_id)
        return course.left_s if course else None

    def steps_per_s(self, experiment: ExperimentState) -> float | None:
        """Gives the steps per second of a running experiment: what it says itself, else the mean since it began."""
        course = self._courses.get(experiment.experiment_id)
        return experiment.steps_per_s or (course.steps_per_s if course else None)

    def _follow(self, experiment: ExperimentState) -> None:
        progress, known = experiment.progress, self._courses.get(experiment.experiment_id)
        if progress is None:
            return
        if known is None:
            self._courses[experiment.experiment_id] = _Course.begin(progress)
        elif progress.reported_at != known.at:
            self._courses[experiment.experiment_id] = known.go_on(progress)

    def _settle(self, experiment: ExperimentState) -> None:
        self._settled.add(experiment.experiment_id)
        self._courses.pop(experiment.experiment_id, None)
        if experiment.status == "done" and experiment.duration_s is not None:
            self._num_done += 1
            self._done_s += experiment.duration_s
        if experiment.status == "failed":
            self._forget(experiment.experiment_id)
        else:
            self._compare(experiment)

    def _compare(self, experiment: ExperimentState) -> None:
        point = self.best_of(experiment)
        if point is None or self.selection is None:
            return
        sign = 1 if self.selection.best == "max" else -1
        if self.best is None or sign * point.value > sign * self.best[1].value:
            self.best = (experiment.experiment_id, point)

    def _forget(self, experiment_id: int) -> None:
        # A failed experiment wins nothing, also where it led before it failed; the others are compared again.
        if self.best is not None and self.best[0] == experiment_id:
            self.best = None
            self._settled.clear()
            self._num_done, self._done_s = 0, 0.0

    def _estimate(self, running: list[ExperimentState], num_waiting: int) -> float | None:
        """Gives the time left for the run, from experiments that are done and from how far the running ones are."""
        now = time.time()
        left = {one.experiment_id: self.left_of(one) for one in running}
        whole_s = [
            one.spent_s(now) + left_s
            for one in running
            if one.started_at is not None and (left_s := left[one.experiment_id]) is not None
        ]
        count = self._num_done + len(whole_s)
        if not count or not (running or num_waiting):
            return None
        mean_s = (self._done_s + sum(whole_s)) / count
        lefts = [mean_s if one is None else one for one in left.values()]
        num_slots = max(1, min(self._num_slots, len(running) + num_waiting))
        return max([(num_waiting * mean_s + sum(lefts)) / num_slots, *lefts])


def share_done(progress: Progress) -> float:
    """Gives how much of its epochs an experiment has behind it, 0 to 1."""
    done = progress.epoch + (progress.batch / max(1, progress.num_batches) if progress.phase == "train" else 0.0)
    return min(1.0, done / max(1, progress.num_epochs))


def epoch_text(progress: Progress) -> str:
    """Gives the epoch that an experiment is in, from 1, and how many there are: `5/12`."""
    # While it is evaluated, an epoch counts as finished already.
    current = progress.epoch + 1 if progress.phase == "train" else progress.epoch
    return f"{current}/{progress.num_epochs}"


def _steps(progress: Progress) -> int | None:
    return progress.epoch * progress.num_batches + progress.batch if progress.phase == "train" else None
