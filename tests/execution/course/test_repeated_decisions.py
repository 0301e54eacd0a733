"""Searches and nested cross validations whose experiments are run again: what was decided is decided anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlgym.config import Point, check
from mlgym.events import EventSink, RunState
from mlgym.execution import RunOptions, RunSummary, WorkerCode, launch
from mlgym.execution.course.course import Course, Desk, OwnCourse
from mlgym.execution.course.repeated_decisions import RepeatedSearch, compare_decisions, decided_again
from mlgym.execution.job import Job
from mlgym.execution.stop_request import StopRequest
from mlgym.tracking import RunFolder
from mlgym.validation.modes import SearchPlan
from tests.execution.course import test_search_run
from tests.execution.course.test_search_run import ASHA, OPTUNA, Searching, _known_environment


def train_otherwise(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """The same as in the search, but that one trial turns out worse."""
    worse = {2: 50, 3: 50}.get(job.experiment_id, 0)
    test_search_run.train(msgspec.structs.replace(job, seed=job.seed - worse), sink, stop)


class Again(Sequence[Point], OwnCourse):
    """The experiments of a search as they are run again: those that did not fail, in one go."""

    def __init__(self, search: Searching) -> None:
        plan, self.state = check(search.document), search.state
        assert isinstance(plan, SearchPlan)
        self.plan = plan
        self.plan.recall(self.state)
        self.repeated: RepeatedSearch | None = None

    def __len__(self) -> int:
        return len(self.state.experiments)

    def __getitem__(self, index: Any) -> Any:
        return self.plan[index]

    def __iter__(self) -> Iterator[Point]:
        return (self[number] for number in range(len(self)))

    @property
    def failed(self) -> frozenset[int]:
        """Those that are not run again."""
        return frozenset(number for number, one in self.state.experiments.items() if one.status == "failed")

    def course(self, settled: Container[int], desk: Desk) -> Course:
        """See `OwnCourse`."""
        until = {number: one.until_epoch for number, one in self.state.experiments.items()}
        self.repeated = RepeatedSearch(
            self.plan, self.state.search, desk, num_experiments=len(self), settled=settled, until_epochs=until
        )
        return self.repeated

    def run(self, storage: Path, entry: str, **options: Any) -> tuple[RunSummary, RunState]:
        """Runs them; gives how that ended."""
        code = WorkerCode(entry=entry, preload=(entry.partition(":")[0],), preload_if_installed=())
        with _known_environment():
            summary = launch(
                Searching(storage, **ASHA).document,
                self,
                RunOptions(storage=storage, run_id="again", executor="inline", **options),
                command=["mlgym"],
                skip=self.failed,
                code=code,
            )
        return summary, RunFolder(storage, "again").state()


@pytest.fixture(scope="module", params=["asha", "optuna"])
def search(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Searching:
    """A finished search; of ASHA under two seeds, with failures and early stopping."""
    validation = ASHA | {"seeds": 2} if request.param == "asha" else OPTUNA
    made = Searching(tmp_path_factory.mktemp(request.param), **validation)
    made.launch()
    return made


def without_times(state: RunState) -> list[Any]:
    """What the strategy said and was told."""
    return [dataclasses.replace(step, at=0.0) for step in state.search]


def test_the_same_results_lead_to_the_same_decisions(search: Searching, tmp_path: Path) -> None:
    """Each trial runs once to where it was left; the log has the same search, scores at each rung included."""
    again = Again(search)
    _, state = again.run(tmp_path, f"{test_search_run.HERE}:train")
    assert again.repeated is not None
    decisions = again.repeated.decisions
    assert (decisions.are_the_same, decisions.num_recorded) == (
        True,
        sum(step.action != "result" for step in search.state.search),
    )
    assert without_times(state) == without_times(search.state)
    assert {one.attempt for one in state.experiments.values()} == {0}
    assert not state.recent_logs


def test_other_results_lead_to_others(search: Searching, tmp_path: Path) -> None:
    """The control: the first decision that is another one is named, in the log too, and nothing after it is."""
    again = Again(search)
    _, state = again.run(tmp_path, f"{__name__}:train_otherwise")
    assert again.repeated is not None
    decisions = again.repeated.decisions
    assert decisions.differ
    assert 0 < decisions.num_equal < decisions.num_recorded
    assert [line.message for line in state.recent_logs] == [decisions.to_text()]
    told = len(state.search)
    assert [step.action for step in state.search] == [step.action for step in search.state.search[:told]]
    assert told < len(search.state.search)


def test_without_new_results_the_recorded_ones_are_told(search: Searching) -> None:
    """They lead to the same decisions; where one of them was another one, that is found."""
    plan = check(search.document)
    assert isinstance(plan, SearchPlan)
    steps = search.state.search
    assert decided_again(plan, steps).are_the_same
    place = next(place for place, step in enumerate(steps) if step.action == "promote")
    other = [*steps[:place], dataclasses.replace(steps[place], epochs=3), *steps[place + 1 :]]
    decisions = decided_again(plan, other)
    assert (decisions.differ, decisions.from_new_results) == (True, False)
    assert "until epoch 3" in str(decisions.original)
    compared = compare_decisions(steps, other)
    assert compared is not None
    assert (compared.original, compared.new) == (decisions.new, decisions.original)
    assert compare_decisions(steps, []) is None
