"""Optuna's samplers and pruners behind `ask` and `tell`; Optuna neither runs nor stores anything.

Not among them: its `GridSampler`, which repeats points where several trials run (the strategy `grid` does not), and
what needs a function of the user's own.
"""

from __future__ import annotations

import importlib.util
import inspect
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from mlgym.config.distributions import RESOLUTION, DistributionValues
from mlgym.config.registry import register
from mlgym.names import did_you_mean
from mlgym.validation.search.parameters import Configuration, Parameter
from mlgym.validation.search.strategy import (
    WAIT,
    Action,
    Finish,
    Problem,
    Promote,
    Result,
    Stop,
    Strategy,
    StrategyError,
    Try,
)
from mlgym.validation.search.whole import Seed

if TYPE_CHECKING:
    import optuna

Sampler: TypeAlias = Literal["tpe", "random", "qmc", "gp", "cma_es", "nsgaii"]
Pruner: TypeAlias = Literal["median", "percentile", "successive_halving", "hyperband", "threshold"]

_SAMPLERS: Final[dict[str, str]] = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "gp": "GPSampler",
    "cma_es": "CmaEsSampler",
    "nsgaii": "NSGAIISampler",
}
_PRUNERS: Final[dict[str, str]] = {
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "threshold": "ThresholdPruner",
}
# Hyperband deals trials out to its brackets by this name.
_STUDY: Final = "mlgym"


@register("optuna", late_imports=("optuna",))
class OptunaStrategy(Strategy):
    """Has a sampler of Optuna choose configurations, and a pruner of Optuna stop those that promise nothing.

    A parameter that matters only with certain values of others is suggested only there. With a pruner, a trial pauses
    whenever its score is reported, and goes on where the pruner lets it. Needs `pip install 'mlgym[optuna]'`.

    Source: Akiba and others, Optuna: a next-generation hyperparameter optimization framework, 2019.
    """

    def __init__(
        self,
        sampler: Sampler = "tpe",
        *,
        sampler_options: dict[str, Any] | None = None,
        pruner: Pruner | None = None,
        pruner_options: dict[str, Any] | None = None,
        report_every_n_epochs: Annotated[int, Field(ge=1)] | None = None,
        seed: Seed = 0,
    ) -> None:
        """Sets sampler and pruner.

        Args:
            sampler: chooses configurations.
            sampler_options: parameters of Optuna's class, such as `{n_startup_trials: 5}` of `TPESampler`.
            pruner: stops trials by the scores that were reported; None trains each to its end.
            pruner_options: parameters of Optuna's class, such as `{n_warmup_steps: 5}` of `MedianPruner`; steps are
                epochs.
            report_every_n_epochs: epochs from one report to the pruner to the next, >= 1, each of which is a fresh
                start of the trial's process; by default each evaluation.
            seed: of the sampler, >= 0; the run's own unless given.
        """
        self.sampler = sampler
        self.sampler_options = sampler_options or {}
        self.pruner = pruner
        self.pruner_options = pruner_options or {}
        self.report_every_n_epochs = report_every_n_epochs
        self.seed = seed

    def begin(self, problem: Problem) -> None:
        """See `Strategy`."""
        super().begin(problem)
        self._refuse_what_does_not_fit(problem)
        optuna = _optuna()
        with _in_peace(optuna):
            sampler = self._made(optuna.samplers, _SAMPLERS[self.sampler], "sampler_options", self.sampler_options)
            pruner: Any = optuna.pruners.NopPruner()
            if self.pruner is not None:
                pruner = self._made(optuna.pruners, _PRUNERS[self.pruner], "pruner_options", self.pruner_options)
            self._study = optuna.create_study(
                direction="minimize" if problem.best == "min" else "maximize",
                sampler=sampler,
                pruner=pruner,
                study_name=_STUDY,
            )
        if self.pruner is not None and problem.max_epochs is not None:
            self.rungs = [*range(self._every, problem.max_epochs, self._every), problem.max_epochs]
        self._optuna = optuna
        self._trials: dict[int, Any] = {}
        self._running: set[int] = set()
        self._due: list[Action] = []

    def ask(self) -> Action:
        """See `Strategy`."""
        if self._due:
            return self._due.pop(0)
        if len(self._trials) < self.problem.num_trials:
            number = len(self._trials)
            self._running.add(number)
            return Try(configuration=self._suggested(number), **self._next_report(0))
        return WAIT if self._running else Finish(reason=f"all {self.problem.num_trials} trials have ended")

    def tell(self, result: Result) -> None:
        """See `Strategy`."""
        self._running.discard(result.trial)
        with _in_peace(self._optuna):
            self._tell(result, self._trials[result.trial])

    def _tell(self, result: Result, trial: optuna.Trial) -> None:
        states = self._optuna.trial.TrialState
        if result.state == "failed" or result.score is None or not math.isfinite(result.score):
            self._study.tell(trial, state=states.FAIL)
            if result.state == "paused":
                self._due.append(Stop(trial=result.trial, reason="has no finite score"))
            return
        if result.epochs is not None and self.pruner is not None:
            trial.report(result.score, result.epochs)
        if result.state == "ended" or result.epochs is None:
            self._study.tell(trial, result.score)
        elif trial.should_prune():
            # Its last report is its value, as Optuna's own loop has it.
            self._study.tell(trial, state=states.PRUNED)
            self._due.append(Stop(trial=result.trial, reason=f"the pruner `{self.pruner}` stops it"))
        else:
            self._running.add(result.trial)
            self._due.append(Promote(trial=result.trial, **self._next_report(result.epochs)))

    def _suggested(self, number: int) -> Configuration:
        with _in_peace(self._optuna):
            trial = self._trials[number] = self._study.ask()
            return self.problem.parameters.configure(lambda parameter: _suggest(trial, parameter))

    def _next_report(self, epoch: int) -> dict[str, Any]:
        """Gives the epoch of the next report and its number; nothing where a trial goes on to its end."""
        if self.pruner is None:
            return {}
        every, end = self._every, self.problem.max_epochs
        assert end is not None
        return {"epochs": min(end, epoch + every), "rung": epoch // every}

    @property
    def _every(self) -> int:
        return self.report_every_n_epochs or self.problem.evaluate_every_n_epochs

    def _refuse_what_does_not_fit(self, problem: Problem) -> None:
        if self.sampler == "cma_es":
            _refuse_for_cma_es(problem)
        if self.pruner is None:
            return
        if problem.max_epochs is None:
            raise StrategyError("pruner", "stops trials at epochs, but `experiment.epochs` is not one number")
        problem.refuse_unmeasured([self._every], "report_every_n_epochs")

    def _made(self, module: Any, name: str, key: str, options: dict[str, Any]) -> Any:
        target = getattr(module, name)
        known = [one for one in inspect.signature(target).parameters if one != "seed"]
        unknown = next((one for one in options if one not in known), None)
        if unknown is not None:
            near = "; the strategy's own `seed` is it" if unknown == "seed" else did_you_mean(unknown, known)
            raise StrategyError(key, f"Optuna's `{name}` has no parameter `{unknown}`{near}")
        seed = {"seed": self.seed} if "seed" in inspect.signature(target).parameters else {}
        try:
            return target(**seed, **options)
        except (TypeError, ValueError) as error:
            raise StrategyError(key, f"Optuna's `{name}` refuses them: {error}") from error


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise StrategyError("use", "needs Optuna: `pip install 'mlgym[optuna]'`") from error
    return optuna


@contextmanager
def _in_peace(optuna: Any) -> Iterator[None]:
    """Keeps Optuna from saying that a study was made, and that what the config asks for is experimental."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _refuse_for_cma_es(problem: Problem) -> None:
    if importlib.util.find_spec("cmaes") is None:
        raise StrategyError("sampler", "`cma_es` needs a further package: `pip install cmaes`")
    numbers = [one for one in problem.parameters if one.is_ordered and not one.is_conditional]
    others = [one.key for one in problem.parameters if one not in numbers]
    if len(numbers) < 2:
        what = f", not for {', '.join(f'`{key}`' for key in others[:5])}" if others else ""
        raise StrategyError(
            "sampler",
            f"`cma_es` is for two or more numbers that matter in every configuration{what}: take `tpe`",
        )


def _suggest(trial: optuna.Trial, parameter: Parameter) -> int:
    """Gives the number of the value that Optuna suggests for a parameter."""
    if parameter.distribution is not None:
        return _suggest_number(trial, parameter.name, parameter.distribution)
    if parameter.is_ordered:
        return trial.suggest_int(parameter.name, 0, parameter.num_values - 1)
    return int(trial.suggest_categorical(parameter.name, list(range(parameter.num_values))))


def _suggest_number(trial: optuna.Trial, name: str, distribution: DistributionValues) -> int:
    low, high, is_log = distribution.low, distribution.high, distribution.name.startswith("log")
    if low == high:
        return 0
    if distribution.name == "integer":
        return trial.suggest_int(name, int(low), int(high)) - int(low)
    if distribution.name == "log_integer":
        # The values of one whole number lie between it and the next one.
        value, high = trial.suggest_int(name, int(low), int(high), log=True) + 0.5, high + 1
    else:
        value = trial.suggest_float(name, low, high, log=is_log)
    share = math.log(value / low) / math.log(high / low) if is_log else (value - low) / (high - low)
    return min(RESOLUTION - 1, max(0, int(share * RESOLUTION)))
