"""Search: a strategy chooses configurations while others run, and for how long each of them is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlgym.config import Mode, ModeView, Outline, Plan, Point, SearchSpace
from mlgym.config.forms import Entries, Form, Reference, Use, Value
from mlgym.config.modes import VALIDATION_MODES
from mlgym.config.signature import EMPTY, signature_of
from mlgym.errors import ConfigError, Fault, RunError
from mlgym.events import RunState, SearchStep
from mlgym.names import did_you_mean
from mlgym.validation.modes.deciding import DecidingPlan
from mlgym.validation.modes.grid import NumSamples
from mlgym.validation.modes.seeds import Seeds, faults_of_seeds, seeds_of
from mlgym.validation.modes.select import Decision, Select, decision_of, faults_of_select, warnings_of_test
from mlgym.validation.search import Configuration, Parameter, Parameters, Problem, Strategy, StrategyError
from mlgym.validation.search.account import SearchAccount


@VALIDATION_MODES.register("search")
class Search(Mode):
    """Lets a strategy choose what is tried next by what came out before, and how many epochs a trial is trained.

    A trial is one configuration. It may pause after some of its epochs, and goes on from its checkpoint where the
    strategy wants it; learning rate schedules are those of all epochs of the config from the start. What is decided is
    written down: a search goes on after a crash, and can be reproduced. With one worker it repeats exactly.

    Args:
        strategy: such as `{use: asha}`, `{use: optuna}` or one of your own.
        num_trials: how many configurations are tried, >= 1; by default all of the grid with `{use: grid}`.
        select: what decides between configurations; by default what early stopping or checkpoints follow.
        seeds: train each trial under so many seeds, counted from the run's own, or under these; its score is the mean.
    """

    draws = True

    def __init__(
        self,
        strategy: Strategy,
        num_trials: NumSamples | None = None,
        *,
        select: Select | None = None,
        seeds: Seeds | None = None,
    ) -> None:
        self.strategy = strategy
        self.num_trials = num_trials
        self.select = select
        self.seeds = seeds

    def faults(self, view: ModeView) -> list[Fault]:
        """See `Mode`."""
        faults = faults_of_select(view, self.select, needed=True) + faults_of_seeds(view, self.seeds)
        decision = decision_of(view, self.select)
        splits = _evaluated_splits(view)
        if not faults and decision is not None and splits is not None and decision.split not in splits:
            near = did_you_mean(decision.split, sorted(splits), intro="evaluated are")
            message = f"`{decision.metric}` decides, but no data called `{decision.split}` is evaluated{near}"
            faults.append(view.fault("select", message))
        return faults

    def plan(self, view: ModeView, space: SearchSpace) -> Plan:
        """See `Mode`.

        Raises:
            ConfigError: the strategy does not fit the config.
        """
        parameters, decision = Parameters(space), decision_of(view, self.select)
        assert decision is not None
        num_trials = self.num_trials or self.strategy.default_num_trials(parameters)
        if not parameters:
            message = "there is nothing to search: the config has no sweep, such as `lr: {sweep: [0.1, 0.01]}`"
            raise ConfigError([view.fault("strategy", message)])
        if num_trials is None:
            raise ConfigError([view.fault("num_trials", "how many configurations are to be tried? Set `num_trials`")])
        problem = Problem(
            parameters=parameters,
            best=decision.best,
            num_trials=num_trials,
            max_epochs=_number(view, "epochs"),
            evaluate_every_n_epochs=_number(view, "evaluate_every_n_epochs") or 1,
        )
        try:
            account = SearchAccount(self.strategy, problem)
        except StrategyError as error:
            raise ConfigError([_fault(view, error)]) from error
        return SearchPlan(
            view,
            space,
            {
                "num_trials": num_trials,
                "select": decision.facts,
                "max_epochs": problem.max_epochs,
                "rungs": list(account.rungs),
                "parameters": [_facts(one) for one in parameters],
            },
            warnings_of_test(view, decision),
            seeds=seeds_of(view, self.seeds),
            strategy=self.strategy,
            problem=problem,
            decision=decision,
        )


def _facts(parameter: Parameter) -> dict[str, Any]:
    """Gives what is searched over, as plain data; how many values a distribution has says nothing."""
    drawn = parameter.distribution
    return {
        "name": parameter.name,
        "key": parameter.key,
        "num_values": parameter.num_values if drawn is None else None,
        "values": list(parameter.shown),
        "distribution": None if drawn is None else {drawn.name: [drawn.low, drawn.high]},
        "conditional": parameter.is_conditional,
    }


def _fault(view: ModeView, error: StrategyError) -> Fault:
    if error.parameter == "num_trials":
        return view.fault("num_trials", str(error))
    below = f".{error.parameter}" if error.parameter else ""
    return view.marks.get("strategy", view.mark).fault(f"validation.strategy{below}", str(error))


def _use_behind(view: ModeView, form: Form) -> Use | None:
    """Gives the component that a form is or refers to; None where it is one of several, or something else."""
    form = view.tree.follow(form)
    while isinstance(form, Reference) and form.target.output is None and form.target.name in view.tree.components:
        form = view.tree.follow(view.tree.components[form.target.name])
    return form if isinstance(form, Use) else None


def _number(view: ModeView, key: str) -> int | None:
    """Gives a whole number among the parameters of the experiment, or its default; None where it is not one."""
    root = _use_behind(view, view.tree.experiment)
    if root is None:
        return None
    if key in root.params:
        form = view.tree.follow(root.params[key])
        value = form.value if isinstance(form, Value) else None
    else:
        parameter = signature_of(view.registry.find(root.name)).params.get(key) if root.name in view.registry else None
        value = None if parameter is None or parameter.default is EMPTY else parameter.default
    return value if type(value) is int else None


def _evaluated_splits(view: ModeView) -> set[str] | None:
    """Gives the data that `training` evaluates; None where the config does not tell it in plain words."""
    root = _use_behind(view, view.tree.experiment)
    if root is None or root.name != "training":
        return None
    if "evaluator" not in root.params:
        return {"train"}
    evaluator = _use_behind(view, root.params["evaluator"])
    loaders = None if evaluator is None else _use_behind(view, evaluator.params.get("loaders", root))
    datasets = None if loaders is None or "datasets" not in loaders.params else loaders.params["datasets"]
    entries = None if datasets is None else view.tree.follow(datasets)
    return {"train", *entries.entries} if isinstance(entries, Entries) else None


class SearchPlan(DecidingPlan):
    """The trials of a search, under each of their seeds, as far as the strategy has chosen them.

    Attributes:
        decision: what decides.
        problem: what is searched.
    """

    procedure = "a search"
    closed_because = "the search went on without it"

    def __init__(
        self,
        view: ModeView,
        space: SearchSpace,
        facts: Mapping[str, Any],
        warnings: Sequence[Fault],
        *,
        seeds: Sequence[int],
        strategy: Strategy,
        problem: Problem,
        decision: Decision,
    ) -> None:
        """Sets what is searched; see `TrialPlan`."""
        self.decision = decision
        self.problem = problem
        self._strategy = strategy
        self._space = space
        self._tried: list[Point] = []
        super().__init__(
            view,
            space,
            facts,
            warnings,
            seeds=seeds,
            num_samples=problem.num_trials,
            seed=0,
            points=_Tried(self._tried),
        )

    def begin(self, steps: Iterable[SearchStep] = ()) -> SearchAccount:
        """Gives the account of the search, as it stands after some steps.

        Raises:
            RunError: the strategy does not decide what it decided then.
        """
        return SearchAccount(self._strategy, self.problem, steps)

    def take(self, configuration: Configuration) -> Point:
        """Takes the configuration of the next trial, and gives its point."""
        point = self._space.at(len(self._tried), self.problem.parameters.choices(configuration))
        self._tried.append(point)
        return point

    def close(self) -> None:
        """Takes note that no further trial comes."""
        self._num_experiments = len(self._tried) * self._num_seeds

    def experiments(self, trial: int) -> range:
        """Gives the experiments of a trial, one for each seed."""
        return range(trial * self._num_seeds, (trial + 1) * self._num_seeds)

    def trial_of(self, number: int) -> int:
        """Gives the trial of an experiment."""
        return number // self._num_seeds

    def recall(self, state: RunState) -> None:
        """See `DecidingPlan`."""
        tries = [step for step in state.search if step.action == "try"]
        for step in tries[len(self._tried) :]:
            self.take(step.choices)
        if any(step.action == "finish" for step in state.search):
            self.close()

    def is_closed(self, number: int) -> bool:
        """See `DecidingPlan`: the strategy was told of a failure when it happened."""
        return True

    def example(self) -> Point:
        """See `DecidingPlan`."""
        return self._space.at(0, self._space.decode(0))

    def outline(self, number: int) -> Outline:
        """See `Plan.outline`."""
        if self.trial_of(number) < len(self._tried):
            return super().outline(number)
        return Outline(number, {"configuration": self.trial_of(number), "role": "grid"}, None)

    def configured(self, point: Point, fold: int) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """See `TrialPlan`."""
        return point.config, {"role": "grid", "fold": None, "repeat": None}


class _Tried(Sequence[Point]):
    """The points that were chosen so far."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = points

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, number: Any) -> Any:
        if number >= len(self._points):
            raise RunError(
                f"the search chooses the configuration of trial {number} while it runs: it is not known before "
                "those before it have results"
            )
        return self._points[number]
