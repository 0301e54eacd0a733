"""Nested cross validation: on each outer fold, configurations compete on inner folds, and the winner is scored once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from mlgym.config import Mode, ModeView, Outline, Plan, Point, SearchSpace
from mlgym.config.modes import VALIDATION_MODES
from mlgym.config.plan import undrawn
from mlgym.errors import Fault, RunError
from mlgym.events import RunState
from mlgym.names import did_you_mean
from mlgym.validation.modes.cross import Shares
from mlgym.validation.modes.deciding import DecidingPlan
from mlgym.validation.modes.folding import Folding, Folds, KFoldWords
from mlgym.validation.modes.grid import NumSamples
from mlgym.validation.modes.part_names import PartNames
from mlgym.validation.modes.seeds import Seeds, faults_of_seeds, seeds_of
from mlgym.validation.modes.select import (
    Decision,
    Select,
    decision_of,
    faults_of_select,
    warnings_of_leaks,
    warnings_of_test,
    watches_of,
)
from mlgym.validation.modes.split_parts import TEST, NamedSplit, ShareCuts, validation_part


@VALIDATION_MODES.register("nested_cross_validation")
class NestedCrossValidation(Mode):
    """Scores the whole procedure of choosing a configuration and training it, on data that nothing was chosen by.

    For each outer fold, every configuration is trained on each inner fold of the outer training part; the best one by
    `select` (mean over the inner folds, ties to the first) is trained once more on the outer training part, and scored
    on the outer fold. That last fit starts as soon as the inner ones of its fold are done.

    The component `split` is replaced in each experiment's config: `test` is the outer fold, `val` the inner one. The
    last fit has a `val` too, cut off its training part, for whatever stops it early. A split without a part `test`
    gives the outer fold as `val` in that fit, which is then trained on all other rows and scored after its last epoch.

    Args:
        split: the component that gives the parts.
        outer_folds: how many folds k-fold makes, >= 2, or a way to split such as `{use: leave_one_out, folds: 150}`.
        inner_folds: the same for the folds inside of each outer training part.
        stratified: k-fold with the same share of every class in each fold, outer and inner.
        groups: k-fold that tears no group apart, outer and inner; the column that says which group a row is of.
        repeats: do the outer k-fold so often, each time shuffled anew.
        shuffle: deal the rows out at random; false takes them in their order.
        seed: of folds and of drawn configurations, >= 0; the run's own unless given, and the same under all `seeds`.
        shares: how large parts are that are cut off beside the folds, as shares of the rows that are there then; by
            default as the split has it.
        select: what decides between configurations; by default what early stopping or checkpoints follow.
        seeds: train under so many seeds, counted from the run's own, or under these: means are over inner folds and
            seeds, and the winner is fitted once for each.
        num_samples: draw so many configurations instead of going through the grid, as `random_search` does.

    Source: Stone, Cross-validatory choice and assessment of statistical predictions, 1974; Cawley and Talbot, On
        over-fitting in model selection and subsequent selection bias in performance evaluation, 2010.
    """

    draws = True

    def __init__(
        self,
        split: str = "split",
        outer_folds: Folds = 5,
        inner_folds: Folds = 3,
        *,
        stratified: bool = False,
        groups: str | None = None,
        repeats: Annotated[int, Field(ge=1)] = 1,
        shuffle: bool = True,
        seed: Annotated[int, Field(ge=0)],
        shares: Shares | None = None,
        select: Select | None = None,
        seeds: Seeds | None = None,
        num_samples: NumSamples | None = None,
    ) -> None:
        self.split = split
        self.outer_folds = outer_folds
        self.inner_folds = inner_folds
        self.words = KFoldWords(stratified, groups, shuffle, repeats, seed)
        self.shares = shares or {}
        self.select = select
        self.seeds = seeds
        self.num_samples = num_samples

    def faults(self, view: ModeView) -> list[Fault]:
        """See `Mode`."""
        split = NamedSplit.of(view, self.split)
        faults = [] if self.num_samples is not None else undrawn(view.tree)
        faults += self.words.faults(view, {"outer_folds": self.outer_folds, "inner_folds": self.inner_folds})
        faults += (of_select := faults_of_select(view, self.select, needed=True, takes_rule=True))
        faults += faults_of_seeds(view, self.seeds)
        faults += (of_split := split.faults(view))
        if not of_split:
            layout = _Layout.of(split)
            faults += (
                [view.fault("split", _unclear(split))]
                if layout is None
                else split.faults_of_shares(view, layout.beside, self.shares)
            )
            decision = decision_of(view, self.select)
            if layout is not None and decision is not None and not of_select:
                faults += _faults_of_decision(view, PartNames(view, split.name, split.parts), layout, decision)
        return faults

    def plan(self, view: ModeView, space: SearchSpace) -> Plan:
        """See `Mode`."""
        split = NamedSplit.of(view, self.split)
        layout, decision = _Layout.of(split), decision_of(view, self.select)
        assert layout is not None
        assert decision is not None
        outer = self.words.folding(self.outer_folds, view.given["outer_folds"])
        names = PartNames(view, split.name, split.parts)
        once = KFoldWords(self.words.stratified, self.words.groups, self.words.shuffle, 1, self.words.seed)
        inner = once.folding(self.inner_folds, view.given["inner_folds"])
        return NestedPlan(
            view,
            space,
            _facts(outer, inner, layout, decision, names),
            [
                *warnings_of_test(view, decision, names.all_of(TEST)),
                *_warnings(view, layout, names),
                *warnings_of_leaks(view, self.split),
            ],
            seeds=seeds_of(view, self.seeds),
            num_samples=self.num_samples,
            seed=self.words.seed,
            cutting=_Cutting(split, layout, outer, inner, self.shares, self.words.seed),
            decision=decision,
        )


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the parts of the split become: the outer fold, the inner one, and those cut off what they leave."""

    outer: str
    inner: str
    further: tuple[str, ...]

    @classmethod
    def of(cls, split: NamedSplit) -> _Layout | None:
        inner = validation_part(split.others)
        outer = TEST if TEST in split.others else inner if len(split.others) == 1 else None
        if inner is None or outer is None or (inner == TEST and len(split.others) > 1):
            return None
        return cls(outer, inner, tuple(part for part in split.others if part not in (outer, inner)))

    @property
    def is_shared(self) -> bool:
        """Whether one part is the inner fold first and the outer one in the last fit."""
        return self.outer == self.inner

    @property
    def beside(self) -> tuple[str, ...]:
        """The parts that are cut off by share in one experiment or another."""
        return self.further if self.is_shared else (self.inner, *self.further)


def _unclear(split: NamedSplit) -> str:
    listed = ", ".join(split.others) or "nothing"
    return (
        f"nested cross validation needs a part `test` for the outer fold and `val` for the inner one, or one part for "
        f"both; `{split.name}` gives {listed} beside train"
    )


def _faults_of_decision(view: ModeView, names: PartNames, layout: _Layout, decision: Decision) -> list[Fault]:
    held_out = names.all_of(layout.inner) | names.all_of(layout.outer)
    if decision.split in held_out or "select" not in view.marks:
        return []
    near = did_you_mean(decision.split, sorted(held_out), intro="held out are")
    return [
        view.fault("select", f"selects by `{decision.metric}`, but no data called `{decision.split}` is held out{near}")
    ]


def _facts(outer: Folding, inner: Folding, layout: _Layout, decision: Decision, names: PartNames) -> dict[str, Any]:
    return {
        "outer_folds": outer.spec,
        "inner_folds": inner.spec,
        "num_outer_folds": outer.num_folds,
        "num_inner_folds": inner.num_folds,
        "outer_part": layout.outer,
        "inner_part": layout.inner,
        "select": decision.facts,
        # What the winner is scored by: a part of its own decides about the epoch, or none does.
        "score": decision.score_on(names.measured(layout.outer), at="last" if layout.is_shared else None),
    }


def _warnings(view: ModeView, layout: _Layout, names: PartNames) -> list[Fault]:
    if not layout.is_shared:
        return []
    return [
        watch.form.mark.fault(
            watch.path,
            f"in the fits that are scored, `{watch.split}` is the outer fold, and `{watch.metric}` steers training by "
            "it: their scores are too good. Give the split a part `test` (and a loader for it), which becomes the "
            "outer fold then",
        )
        for watch in watches_of(view.tree)
        if watch.split in names.all_of(layout.outer) and _stops(watch.path)
    ]


def _stops(path: Sequence[str | int]) -> bool:
    # A strategy for checkpoints chooses what is kept, and the score is that of the last epoch.
    return "checkpoints" not in path


@dataclass(frozen=True)
class _Cutting:
    """All that is needed to write the split of an experiment."""

    split: NamedSplit
    layout: _Layout
    outer: Folding
    inner: Folding
    shares: Mapping[str, float]
    seed: int

    def inner_config(self, config: dict[str, Any], outer_fold: int, fold: int) -> dict[str, Any]:
        """Gives the config of a competitor on an inner fold."""
        layout = self.layout
        # The outer fold is measured there where the config has a loader for it, and decides nothing.
        cuts = [
            self.outer.cut(None if layout.is_shared else layout.outer, outer_fold),
            self.inner.cut(layout.inner, fold),
            *self._share_cuts(config, layout.further),
        ]
        return self.split.rewritten(config, cuts)

    def outer_config(self, config: dict[str, Any], outer_fold: int) -> dict[str, Any]:
        """Gives the config of the winner on the outer training part."""
        cuts = [self.outer.cut(self.layout.outer, outer_fold), *self._share_cuts(config, self.layout.beside)]
        return self.split.rewritten(config, cuts)

    def _share_cuts(self, config: dict[str, Any], parts: Sequence[str]) -> list[dict[str, Any]]:
        if not parts:
            return []
        return ShareCuts(self.inner, self.split.shares(config), self.shares, self.seed).of(parts, ("train",))


class NestedPlan(DecidingPlan):
    """For each outer fold the experiments that compete, then the fit of the winner, which is decided while they run.

    Attributes:
        decision: what decides.
        num_outer_folds: how many outer folds there are.
    """

    procedure = "a nested cross validation"
    closed_because = "the winner of its outer fold was chosen without it"

    def __init__(self, *args: Any, cutting: _Cutting, decision: Decision, **settings: Any) -> None:
        self.decision = decision
        self.num_outer_folds = cutting.outer.num_folds
        self._cutting = cutting
        self._winners: dict[int, int] = {}
        super().__init__(*args, num_folds=cutting.inner.num_folds, **settings)
        self._num_inner = len(self.configurations) * self._num_folds * self._num_seeds

    def _num_experiments_of(self, num_configurations: int, num_folds: int, num_seeds: int) -> int:
        return self.num_outer_folds * (num_configurations * num_folds * num_seeds + num_seeds)

    def outer_fold_of(self, number: int) -> int:
        """Gives the outer fold that an experiment belongs to."""
        return number // (self._num_inner + self._num_seeds)

    def competitors(self, outer_fold: int) -> range:
        """Gives the experiments that decide about an outer fold: by configuration, then by inner fold and seed."""
        start = outer_fold * (self._num_inner + self._num_seeds)
        return range(start, start + self._num_inner)

    def fits(self, outer_fold: int) -> range:
        """Gives the experiments that fit the winner of an outer fold, one for each seed."""
        start = self.competitors(outer_fold).stop
        return range(start, start + self._num_seeds)

    def winner(self, outer_fold: int) -> int | None:
        """Gives the configuration that won an outer fold; None where that is not decided."""
        return self._winners.get(outer_fold)

    def decide(self, outer_fold: int, configuration: int) -> None:
        """Notes the configuration that won an outer fold."""
        self._winners[outer_fold] = configuration

    def recall(self, state: RunState) -> None:
        """See `DecidingPlan`; a fold without a winner is open again."""
        for outer_fold, selection in state.selections.items():
            if selection.configuration is not None and 0 <= outer_fold < self.num_outer_folds:
                self.decide(outer_fold, selection.configuration)

    def is_closed(self, number: int) -> bool:
        """See `DecidingPlan`: it competed for an outer fold that has a winner."""
        outer_fold = self.outer_fold_of(number)
        return outer_fold in self._winners and number in self.competitors(outer_fold)

    def example(self) -> Point:
        """See `DecidingPlan`."""
        return self.point(0)

    def point(self, number: int) -> Point:
        """See `Plan.point`."""
        outer_fold = self.outer_fold_of(number)
        if number in self.competitors(outer_fold):
            configuration, fold, seed_index = self._competitor(number)
            return self._inner_point(number, outer_fold, configuration, fold, seed_index)
        winner = self.winner(outer_fold)
        if winner is None:
            first, last = self.competitors(outer_fold)[0], self.competitors(outer_fold)[-1]
            raise RunError(
                f"experiment {number} fits the winner of outer fold {outer_fold}, which the experiments {first} to "
                f"{last} decide: its config is not known before they are done"
            )
        return self._outer_point(number, outer_fold, winner)

    def outline(self, number: int) -> Outline:
        """See `Plan.outline`."""
        outer_fold = self.outer_fold_of(number)
        if number in self.competitors(outer_fold) or self.winner(outer_fold) is not None:
            return super().outline(number)
        point = self._outer_point(number, outer_fold, 0)
        return Outline(number, {**point.trial, "configuration": None}, None)

    def _competitor(self, number: int) -> tuple[int, int, int]:
        place = number - self.competitors(self.outer_fold_of(number)).start
        configuration, rest = divmod(place, self._num_folds * self._num_seeds)
        return configuration, *divmod(rest, self._num_seeds)

    def _inner_point(self, number: int, outer_fold: int, configuration: int, fold: int, seed_index: int) -> Point:
        chosen: Point = self.configurations[configuration]
        config = self._cutting.inner_config(chosen.config, outer_fold, fold)
        facts = {
            "role": "inner",
            "outer_fold": outer_fold,
            "fold": fold,
            "repeat": self._cutting.outer.repeat_of(outer_fold),
        }
        return self.trial_point(number, chosen, config, facts, seed_index)

    def _outer_point(self, number: int, outer_fold: int, winner: int) -> Point:
        chosen: Point = self.configurations[winner]
        config = self._cutting.outer_config(chosen.config, outer_fold)
        facts = {
            "role": "outer",
            "outer_fold": outer_fold,
            "fold": None,
            "repeat": self._cutting.outer.repeat_of(outer_fold),
        }
        return self.trial_point(number, chosen, config, facts, number - self.fits(outer_fold).start)
