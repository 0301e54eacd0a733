"""Successive halving: all configurations get few epochs, the best of them more, until the best ones have all."""

from __future__ import annotations

import math
from typing import Annotated, Final

from pydantic import Field

from mlgym.config.registry import register
from mlgym.validation.search.draws import Draws
from mlgym.validation.search.strategy import WAIT, Action, Finish, Problem, Promote, Result, Stop, Strategy, Try
from mlgym.validation.search.whole import Seed, refuse_too_many

MinEpochs = Annotated[int, Field(ge=1)]
ReductionFactor = Annotated[int, Field(ge=2)]


class Halving(Strategy):
    """What both kinds share: rungs, drawn configurations, and the account of who stands where.

    Attributes:
        rungs: the epochs at which trials are compared.
        losses: for each rung the loss of each trial that reached it; less is better, infinity for none.
    """

    def __init__(self, min_epochs: MinEpochs = 1, reduction_factor: ReductionFactor = 3, *, seed: Seed = 0) -> None:
        """Sets the rungs.

        Args:
            min_epochs: epochs after which trials are compared for the first time, >= 1.
            reduction_factor: so many times as many epochs at each further comparison, to which one in so many goes on;
                >= 2.
            seed: of the configurations that are drawn, >= 0; the run's own unless given.
        """
        self.min_epochs = min_epochs
        self.reduction_factor = reduction_factor
        self.seed = seed

    def begin(self, problem: Problem) -> None:
        """See `Strategy`."""
        super().begin(problem)
        refuse_too_many(problem)
        self.rungs = problem.rungs(self.min_epochs, self.reduction_factor)
        self.losses: list[dict[int, float]] = [{} for _ in self.rungs]
        self._draws = Draws(problem.parameters, self.seed)
        self._num_tried = 0
        self._at: dict[int, int] = {}
        self._running: set[int] = set()
        self._over: set[int] = set()

    def tell(self, result: Result) -> None:
        """See `Strategy`."""
        self._running.discard(result.trial)
        rung, loss = self._at[result.trial], self.problem.loss(result.score)
        self.losses[rung][result.trial] = loss
        if result.state == "paused":
            return
        self._over.add(result.trial)
        if result.state == "ended" and math.isfinite(loss):
            # Training stopped early: its score needs no more epochs, and holds at every later rung.
            for later in range(rung + 1, len(self.rungs)):
                self.losses[later][result.trial] = loss
                self._at[result.trial] = later

    def try_next(self) -> Try:
        """Gives the next drawn configuration, to be trained up to the first rung."""
        number = self._num_tried
        self._num_tried += 1
        self._at[number] = 0
        self._running.add(number)
        return Try(configuration=self._draws[number], epochs=self.rungs[0], rung=0)

    def promote(self, trial: int, reason: str) -> Promote:
        """Sends a trial to the rung after its own."""
        rung = self._at[trial] = self._at[trial] + 1
        self._running.add(trial)
        return Promote(trial=trial, epochs=self.rungs[rung], rung=rung, reason=reason)

    def ranked(self, rung: int) -> list[int]:
        """Gives the trials that reached a rung, the best first; of equals the first tried."""
        losses = self.losses[rung]
        return sorted(losses, key=lambda trial: (losses[trial], trial))


@register("successive_halving")
class SuccessiveHalving(Halving):
    """Trains all configurations a little, then the best third of them three times as long, and so on.

    A rung is decided when all of its trials have come to it, so that the last one holds up all others; `asha` does not
    wait.

    Source: Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, 2016.
    """

    def begin(self, problem: Problem) -> None:
        """See `Strategy`."""
        super().begin(problem)
        self._rung = 0
        self._due: list[Action] = []

    def ask(self) -> Action:
        """See `Strategy`."""
        if self._num_tried < self.problem.num_trials:
            return self.try_next()
        if not self._due and not self._running:
            self._close_rung()
        return self._due.pop(0) if self._due else WAIT

    def _close_rung(self) -> None:
        """Decides who goes on, and over again where all of these have reached their end."""
        while self._rung < len(self.rungs) - 1 and not self._due:
            ranked = self.ranked(self._rung)
            num_kept = max(1, len(ranked) // self.reduction_factor)
            for place, trial in enumerate(ranked):
                if trial not in self._over:
                    standing = f"{ordinal(place + 1)} of {len(ranked)} after epoch {self.rungs[self._rung]}"
                    goes_on = place < num_kept and math.isfinite(self.losses[self._rung][trial])
                    self._due.append(self.promote(trial, standing) if goes_on else Stop(trial=trial, reason=standing))
            self._rung += 1
            kept = set(ranked[:num_kept])
            # What stopped early comes along only where it is among the best, as the others do.
            for trial in self._over - kept:
                self.losses[self._rung].pop(trial, None)
        if not self._due:
            self._due = [Finish(reason="the last rung is decided")]


@register("asha")
class Asha(Halving):
    """Successive halving that waits for nobody: a trial goes on as soon as it is among the best third of its rung.

    Whoever is free takes the best trial that may go on, from the highest rung where there is one, else tries a new
    configuration. With one worker a search repeats exactly; with several it depends on who ends when, and the log has
    what was decided.

    Source: Li and others, A system for massively parallel hyperparameter tuning, 2020, algorithm 2.
    """

    def ask(self) -> Action:
        """See `Strategy`."""
        for rung in reversed(range(len(self.rungs) - 1)):
            ranked = self.ranked(rung)
            num_best = len(ranked) // self.reduction_factor
            for place, trial in enumerate(ranked[:num_best]):
                if self._may_go_on(trial, rung):
                    standing = f"{ordinal(place + 1)} of {len(ranked)} after epoch {self.rungs[rung]}"
                    return self.promote(trial, standing)
        if self._num_tried < self.problem.num_trials:
            return self.try_next()
        return WAIT if self._running else Finish(reason="no trial is left that may go on")

    def _may_go_on(self, trial: int, rung: int) -> bool:
        is_here = self._at[trial] == rung and trial not in self._running and trial not in self._over
        return is_here and math.isfinite(self.losses[rung][trial])


_SUFFIXES: Final = {1: "st", 2: "nd", 3: "rd"}


def ordinal(number: int) -> str:
    """Gives `1st`, `2nd`, `11th`."""
    suffix = "th" if number % 100 in (11, 12, 13) else _SUFFIXES.get(number % 10, "th")
    return f"{number}{suffix}"
