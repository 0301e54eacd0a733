"""A search in its driver, with experiments of straw: what is decided, written down, and gone on with after a crash."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlgym.config import check, load
from mlgym.errors import RunError
from mlgym.events import EvaluationResult, Event, EventSink, MetricScore, RunState, TrainingStopped, encode, read_log
from mlgym.events.codec import seal
from mlgym.execution import RunOptions, RunSummary, Watch, WorkerCode, driver, hold_run, launch, resume_run
from mlgym.execution.job import Job
from mlgym.execution.stop_request import StopRequest
from mlgym.tracking import RunFolder
from mlgym.validation.modes import SearchPlan
from mlgym.validation.report import report_of
from mlgym.validation.search import Action, Finish, Promote, Result, Stop, Strategy, Try, Wait
from mlgym.validation.search.account import SearchAccount
from tests.execution.stand_ins import _environment_without_sources
from tests.validation.search.problems import LR, search_config

HERE = "tests.execution.course.test_search_run"
ASHA: dict[str, Any] = {"strategy": {"use": "asha", "reduction_factor": 2}, "num_trials": 5}
OPTUNA: dict[str, Any] = {
    "strategy": {"use": "optuna", "pruner": "median", "pruner_options": {"n_startup_trials": 2}},
    "num_trials": 5,
}


def train(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Measures, after each epoch, how near the learning rate is to 0.01; some that are far off fail or stop early."""
    distance = abs(math.log10(job.config["components"]["optimizer"]["lr"]) + 2)
    if distance > 1.7:
        raise ValueError("this learning rate is not sound")
    epochs = min(job.config["experiment"]["epochs"], job.until_epoch or 99)
    for epoch in range(1, epochs + 1):
        score = 1 - distance / 10 - 0.1 / epoch + job.seed / 100
        sink.emit(
            EvaluationResult(
                grid_search_id=job.run_id,
                experiment_id=job.experiment_id,
                epoch=epoch,
                step=epoch * 10,
                metric_scores=[MetricScore(job.config.get("tells", "f1_macro"), "val", score)],
                loss_scores=[],
            )
        )
        if 0.2 < distance < 0.33 and epoch == 2:
            sink.emit(
                TrainingStopped(
                    grid_search_id=job.run_id, experiment_id=job.experiment_id, epoch=2, step=20, reason="enough"
                )
            )
            return


def train_and_tell_another(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Measures something that decides nothing."""
    train(msgspec.structs.replace(job, config={**job.config, "tells": "accuracy"}), sink, stop)


@contextmanager
def _known_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "capture_environment", _environment_without_sources)
        yield


class Searching:
    """A search in a storage folder.

    Args:
        storage: the folder.
        validation: the section, but for its defaults.
    """

    def __init__(self, storage: Path, entry: str = "train", **validation: Any) -> None:
        self.storage = storage
        self.folder = RunFolder(storage, "run")
        self.document = load(search_config(LR, epochs=4, **validation))
        self.code = WorkerCode(entry=f"{HERE}:{entry}", preload=(HERE,), preload_if_installed=())

    def launch(self, on_event: Watch | None = None, **options: Any) -> RunSummary:
        """Runs it; see `mlgym.execution.launch`."""
        given = RunOptions(storage=self.storage, run_id="run", **{"executor": "inline", "processes": 1, **options})
        with _known_environment():
            plan = check(self.document)
            return launch(self.document, plan, given, command=["mlgym"], code=self.code, on_event=on_event)

    def resume(self, **settings: Any) -> RunSummary:
        """Goes on with it."""
        with _known_environment(), hold_run(self.folder) as held:
            plan = check(self.document)
            return resume_run(held, self.document, plan, held.options(), command=["mlgym"], code=self.code, **settings)

    @property
    def state(self) -> RunState:
        """How it stands."""
        return self.folder.state()

    def steps(self) -> list[tuple[Any, ...]]:
        """Everything that was asked and told, without times."""
        return [
            (one.action, one.trial, one.epochs, one.rung, one.choices, one.score, one.state, one.reason)
            for one in self.state.search
        ]

    def outcomes(self) -> dict[int, tuple[str, int | None]]:
        """How each experiment ended, and where."""
        return {key: (one.status, one.until_epoch) for key, one in self.state.experiments.items()}


def told(folder: RunFolder) -> list[tuple[str, Any]]:
    """The log without what differs from one time to the next: times, ids, surroundings."""
    found = []
    for _, event in read_log(folder.log_path):
        if event["event_type"] not in ("environment", "run_started", "run_resumed"):
            hidden = {"starting_time", "finishing_time", "stacktrace", "config", "log_tail"}
            found.append((event["event_type"], {k: v for k, v in event["payload"].items() if k not in hidden}))
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Searching:
    """A search that nobody disturbed, with failures, early stopping and two seeds a trial."""
    search = Searching(tmp_path_factory.mktemp("whole"), **ASHA, seeds=2)
    search.launch()
    return search


def test_what_a_search_writes_down(whole: Searching) -> None:
    """Each decision before it is done, each result as it was told; the counts are those of experiments, not of jobs."""
    state = whole.state
    assert (state.status, state.num_experiments) == ("finished", 10)
    assert state.final_counts["succeeded"] + state.final_counts["failed"] == 10
    assert {step.state for step in state.search if step.action == "result"} == {"paused", "ended", "failed"}
    assert [step.trial for step in state.search if step.action == "try"] == [0, 1, 2, 3, 4]
    assert state.search[-1].action == "finish"
    promoted = [step for step in state.search if step.action == "promote"]
    assert {(step.epochs, step.rung) for step in promoted} == {(2, 1), (4, 2)}
    assert all(step.reason and step.score is not None for step in promoted)
    assert max(one.attempt for one in state.experiments.values()) == 2
    (started,) = (
        event["payload"] for _, event in read_log(whole.folder.log_path) if event["event_type"] == "run_started"
    )
    assert (started["num_experiments"], started["validation"]["rungs"]) == (10, [1, 2, 4])


def test_the_score_of_a_trial_is_the_mean_of_its_seeds(whole: Searching) -> None:
    """At the epoch where each of them has its best value."""
    state = whole.state
    result = next(step for step in state.search if step.state == "paused")
    scores = [state.experiments[2 * (result.trial or 0) + seed].metrics["val/f1_macro"][0].value for seed in (0, 1)]
    assert result.score == pytest.approx(sum(scores) / 2)
    assert scores[1] - scores[0] == pytest.approx(0.01)


def test_the_report_of_a_search(whole: Searching) -> None:
    """How far each trial came and why, who went on at each rung, the best so far, and what to beware of."""
    report = report_of(whole.state)
    search = report.facts.search
    assert search is not None
    assert (search.strategy, search.num_tried, search.is_over, search.max_epochs) == ("asha", 5, True, 4)
    standings = {one.trial: (one.standing, one.epochs) for one in search.trials}
    assert standings == {
        0: ("stopped early", 2), 1: ("complete", 4), 2: ("left", 1), 3: ("failed", 0), 4: ("left", 1),
    }  # fmt: skip
    assert [(one.epochs, one.num_trials, one.num_promoted) for one in search.rungs] == [(1, 5, 2), (2, 2, 1), (4, 1, 0)]
    assert search.epochs_trained == search.course[-1].epochs_trained == 2 * (2 + 4 + 1 + 1)
    best = [one.best for one in search.course if one.best is not None]
    assert best == sorted(best)
    assert search.course[-1].best_trial == 1
    text = report.to_text()
    assert "tried 5 configurations with 16 epochs of training in all; each to its end would have taken 40" in text
    assert "what the search did not go on with has the score after 1 epoch," in text
    assert "The best score as the search went on" in report.to_html()


@pytest.mark.slow
@pytest.mark.parametrize("validation", [ASHA, OPTUNA])
def test_a_search_repeats(tmp_path: Path, validation: dict[str, Any]) -> None:
    """With the same seed and one worker, two logs are equal but for times and ids, also in other processes."""
    one, two = (Searching(tmp_path / name, **validation) for name in ("one", "two"))
    one.launch()
    two.launch(executor="processes")
    assert told(one.folder) == told(two.folder)
    three = Searching(tmp_path / "three", **validation)
    three.document = load(search_config(LR, epochs=4, **validation) | {"seed": 4})
    three.launch()
    assert three.steps() != one.steps()


def _crashed(whole: Searching, storage: Path, num_events: int) -> Searching:
    """Gives a search as it stands where its driver was killed after so many events."""
    lines = whole.folder.log_path.read_bytes().splitlines(keepends=True)
    search = Searching(storage)
    search.document, search.code = whole.document, whole.code
    search.folder.path.mkdir(parents=True)
    search.folder.log_path.write_bytes(b"".join(lines[:num_events]))
    for name in ("run_config.yml", "grid_search_config.yml", "environment.json"):
        (search.folder.path / name).write_bytes((whole.folder.path / name).read_bytes())
    return search


def _crash_points(folder: RunFolder) -> list[int]:
    """Gives the numbers of events after which a driver may die, but for those that are alike."""
    kinds = [event["event_type"] for _, event in read_log(folder.log_path)]
    deciding = ("search_decision", "search_result", "experiment_config", "job_status")
    return [number + 1 for number, kind in enumerate(kinds) if kind in deciding]


def test_interrupted_it_goes_on(whole: Searching, tmp_path: Path) -> None:
    """Ctrl-C ends it with what it has; nothing of it is lost, and what has not begun is counted."""
    search = Searching(tmp_path, **ASHA, seeds=2)

    def after_five_results(event: dict[str, Any]) -> bool:
        return event["event_type"] == "search_result" and len(search.state.search) > 8

    summary = search.launch(after_five_results)
    assert (summary.exit_code, search.state.status) == (130, "interrupted")
    assert summary.counts.not_started > 0
    assert sum(asdict(summary.counts).values()) == 10
    assert search.resume().exit_code == 1
    assert (search.steps(), search.outcomes()) == (whole.steps(), whole.outcomes())


@pytest.mark.slow
def test_killed_anywhere_it_goes_on_as_if_nothing_had_been(whole: Searching, tmp_path: Path) -> None:
    """After each event: the same decisions, the same experiments, each as far."""
    points = _crash_points(whole.folder)
    assert len(points) > 80
    for number in points[::3]:
        search = _crashed(whole, tmp_path / str(number), number)
        assert search.resume().exit_code == 1
        assert search.steps() == whole.steps(), number
        assert search.outcomes() == whole.outcomes(), number


def test_control_without_memory_it_would_not(whole: Searching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy that is not told what it was told before decides something else."""
    points = _crash_points(whole.folder)
    monkeypatch.setattr(SearchPlan, "begin", lambda self, steps=(): SearchAccount(self._strategy, self.problem))
    search = _crashed(whole, tmp_path, points[len(points) // 2])
    with suppress(KeyError):  # it takes a trial for another one
        search.resume()
    assert search.steps() != whole.steps()


def test_a_strategy_that_decides_otherwise_is_noticed(whole: Searching, tmp_path: Path) -> None:
    """Such as another version of a package behind it: the search does not go on as if nothing were."""
    search = _crashed(whole, tmp_path, _crash_points(whole.folder)[60])
    lines = []
    for _, event in read_log(search.folder.log_path):
        if event["event_type"] == "search_decision" and event["payload"]["trial"] == 0 and event["payload"]["choices"]:
            event["payload"]["choices"] = {"components.optimizer.lr": 1}
        event.pop("crc", None)
        lines.append(seal(encode(Event(**event))))
    search.folder.log_path.write_bytes(b"".join(lines))
    with pytest.raises(RunError, match=r"its decision 0 was `try` trial 0 until epoch 1 .* would be"):
        search.resume()


def test_nothing_is_left_of_one_that_is_over(whole: Searching) -> None:
    """Resuming writes nothing; failures stay, more epochs are another run."""
    size = whole.folder.log_path.stat().st_size
    summary = whole.resume(retry_failed=True)
    assert (summary.counts.succeeded + summary.counts.failed, summary.exit_code) == (10, 1)
    assert whole.folder.log_path.stat().st_size == size
    more = Searching(whole.storage)
    more.document = load(search_config(LR, epochs=8, **ASHA, seeds=2))
    more.code = whole.code
    with pytest.raises(RunError, match="a search cannot go on to more epochs"):
        more.resume(allowed_changes=["experiment.epochs"])


@pytest.mark.slow
def test_several_workers(tmp_path: Path) -> None:
    """All come to their end, none is promoted twice to one rung, and the log replays."""
    search = Searching(tmp_path, **{**ASHA, "num_trials": 12})
    summary = search.launch(executor="processes", processes=4)
    assert summary.counts.succeeded + summary.counts.failed == 12
    promotions = [(step.trial, step.rung) for step in search.state.search if step.action == "promote"]
    assert len(set(promotions)) == len(promotions) > 4
    plan = check(search.document)
    assert isinstance(plan, SearchPlan)
    assert plan.begin(search.state.search).is_over


def test_a_metric_that_nobody_measures_ends_it(tmp_path: Path) -> None:
    """After the first trial, before others train for nothing."""
    search = Searching(tmp_path, "train_and_tell_another", **ASHA)
    with pytest.raises(RunError, match="decides by `val/f1_macro`, which experiment 0 did not measure"):
        search.launch()
    assert len(search.state.experiments) == 1


class Odd(Strategy):
    """Tries one configuration for an epoch, then does whatever it is told to."""

    def __init__(self, then: Action, configuration: dict[str, int] | None = None) -> None:
        self.then = then
        self.configuration = configuration
        self.num_asked = 0

    def ask(self) -> Action:
        """See `Strategy`."""
        self.num_asked += 1
        if self.num_asked > 1:
            return self.then
        lowest = self.problem.parameters.configure(lambda parameter: 0)
        return Try(configuration=lowest if self.configuration is None else self.configuration, epochs=1)

    def tell(self, result: Result) -> None:
        """See `Strategy`."""


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (Promote(trial=1, epochs=2), "decides about trial 1, which is not paused"),
        (Promote(trial=0, epochs=1), "goes on with trial 0 until epoch 1, which it has behind it"),
        (Stop(trial=3), "decides about trial 3, which is not paused"),
        (Try(configuration={}), "`components.optimizer.lr` the value number None, but it has values 0 to 1048575"),
        (Wait(), "waits for results, but nothing runs"),
    ],
)
def test_a_strategy_that_makes_no_sense(whole: Searching, then: Action, words: str) -> None:
    """Is refused with what it did, before anything is done."""
    plan = check(whole.document)
    assert isinstance(plan, SearchPlan)
    account = SearchAccount(Odd(then), plan.problem)
    account.ask()
    account.tell(Result(trial=0, epochs=1, score=0.5, state=account.state_of(1, stopped_early=False)))
    with pytest.raises(RunError, match=words):
        account.ask()


def test_finishing_while_trials_run_makes_no_sense(whole: Searching) -> None:
    """Their results would be lost."""
    plan = check(whole.document)
    assert isinstance(plan, SearchPlan)
    account = SearchAccount(Odd(Finish()), plan.problem)
    account.ask()
    with pytest.raises(RunError, match="has finished while 1 trials run"):
        account.ask()


def test_the_strategy_of_the_how_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page says is a whole strategy is one: it searches, goes on with what is good, and ends."""
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "search.md").read_text()
    (tmp_path / "strategy_of_the_page.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("strategy_of_the_page")
    search = Searching(tmp_path / "storage", strategy={"use": "first_come", "threshold": 0.7}, num_trials=5)
    assert search.launch().counts.not_started == 0
    promoted = {step.trial for step in search.state.search if step.action == "promote"}
    assert promoted
    for number, experiment in search.state.experiments.items():
        assert (len(experiment.metrics.get("val/f1_macro", ())) == 4) == (number in promoted)
