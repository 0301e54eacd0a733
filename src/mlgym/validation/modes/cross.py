"""Cross validation: each configuration is trained as often as there are folds, each time with another part held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from mlgym.config import Mode, ModeView, Plan, Point, SearchSpace
from mlgym.config.modes import VALIDATION_MODES
from mlgym.config.plan import undrawn
from mlgym.errors import Fault
from mlgym.names import did_you_mean
from mlgym.validation.modes.folding import Folding, Folds, KFoldWords
from mlgym.validation.modes.grid import NumSamples
from mlgym.validation.modes.part_names import PartNames
from mlgym.validation.modes.seeds import Seeds, faults_of_seeds, seeds_of
from mlgym.validation.modes.select import (
    Select,
    decision_of,
    faults_of_select,
    warnings_of_leaks,
    warnings_of_test,
)
from mlgym.validation.modes.split_parts import TEST, VALIDATION_NAMES, NamedSplit, ShareCuts, validation_part
from mlgym.validation.modes.trials import TrialPlan

Shares: TypeAlias = dict[str, Annotated[float, Field(gt=0, lt=1)]]


@VALIDATION_MODES.register("cross_validation")
class CrossValidation(Mode):
    """Trains each configuration once for each fold, on all others, and scores it on the one held out.

    The component `split` is replaced in each experiment's config: its part `val` becomes the fold, `train` all other
    folds. A part `test` is set apart before, the same for all folds and configurations, and decides nothing.

    Args:
        split: the component that gives the parts.
        folds: how many folds k-fold makes, >= 2, or a way to split such as `{use: time_series_split, folds: 5}`.
        stratified: k-fold with the same share of every class in each fold.
        groups: k-fold that tears no group apart; the column that says to which group a row belongs.
        repeats: do k-fold so often, each time shuffled anew.
        shuffle: deal the rows out at random; false takes them in their order.
        seed: of folds and of drawn configurations, >= 0; the run's own unless given, and the same under all `seeds`.
        part: the part that becomes the fold; by default `val`, or the only one beside `train`.
        shares: how large parts are that are cut off beside the fold, as shares of the rows that are there then; by
            default as the split has it.
        select: what decides between configurations; by default what early stopping or checkpoints follow.
        seeds: repeat each fold under so many seeds, counted from the run's own, or under these.
        num_samples: draw so many configurations instead of going through the grid, as `random_search` does.

    Source: Stone, Cross-validatory choice and assessment of statistical predictions, 1974.
    """

    draws = True

    def __init__(
        self,
        split: str = "split",
        folds: Folds = 5,
        *,
        stratified: bool = False,
        groups: str | None = None,
        repeats: Annotated[int, Field(ge=1)] = 1,
        shuffle: bool = True,
        seed: Annotated[int, Field(ge=0)],
        part: str | None = None,
        shares: Shares | None = None,
        select: Select | None = None,
        seeds: Seeds | None = None,
        num_samples: NumSamples | None = None,
    ) -> None:
        self.split = split
        self.folds = folds
        self.words = KFoldWords(stratified, groups, shuffle, repeats, seed)
        self.part = part
        self.shares = shares or {}
        self.select = select
        self.seeds = seeds
        self.num_samples = num_samples

    def faults(self, view: ModeView) -> list[Fault]:
        """See `Mode`."""
        split = NamedSplit.of(view, self.split)
        faults = [] if self.num_samples is not None else undrawn(view.tree)
        faults += self.words.faults(view, {"folds": self.folds})
        faults += faults_of_select(view, self.select, needed=True) + faults_of_seeds(view, self.seeds)
        faults += (of_split := split.faults(view))
        if not of_split:
            faults += _faults_of_part(view, split, self.part)
            layout = _Layout.of(split, self.part)
            faults += [] if layout is None else split.faults_of_shares(view, layout.beside, self.shares)
        return faults

    def plan(self, view: ModeView, space: SearchSpace) -> Plan:
        """See `Mode`."""
        split = NamedSplit.of(view, self.split)
        layout = _Layout.of(split, self.part)
        decision = decision_of(view, self.select)
        assert layout is not None
        assert decision is not None
        folding = self.words.folding(self.folds, view.given["folds"])
        names = PartNames(view, split.name, split.parts)
        facts = {
            "folds": folding.spec,
            "num_folds": folding.num_folds,
            "part": layout.fold,
            "select": decision.facts,
            "score": decision.score_on(names.measured(layout.fold)),
        }
        test_names = names.all_of(TEST)
        warnings = [*warnings_of_test(view, decision, test_names), *warnings_of_leaks(view, self.split)]
        return _FoldPlan(
            view,
            space,
            facts,
            warnings,
            seeds=seeds_of(view, self.seeds),
            num_samples=self.num_samples,
            seed=self.words.seed,
            num_folds=folding.num_folds,
            cutting=_Cutting(split, layout, folding, self.shares, self.words.seed),
        )


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the parts of the split become: the fold, those set apart before it, and those cut off what it leaves."""

    fold: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    @classmethod
    def of(cls, split: NamedSplit, part: str | None) -> _Layout | None:
        fold = part or validation_part(split.others)
        if fold not in split.others:
            return None
        # What steers training comes out of training rows, what tests is set apart first.
        others = [other for other in split.others if other != fold]
        after = tuple(other for other in others if other in VALIDATION_NAMES)
        return cls(fold, tuple(other for other in others if other not in after), after)

    @property
    def beside(self) -> tuple[str, ...]:
        return self.before + self.after


def _faults_of_part(view: ModeView, split: NamedSplit, part: str | None) -> list[Fault]:
    listed = ", ".join(split.others) or "none"
    if part is not None and part not in split.others:
        near = did_you_mean(part, split.others, intro="it has")
        return [view.fault("part", f"`{split.name}` gives no part `{part}`{near}")]
    if validation_part(split.others) is None and part is None:
        message = f"which part of `{split.name}` becomes the fold? It gives, beside train: {listed}; set `part`"
        return [view.fault("part", message)]
    return []


@dataclass(frozen=True)
class _Cutting:
    """All that is needed to write the split of an experiment."""

    split: NamedSplit
    layout: _Layout
    folding: Folding
    shares: Mapping[str, float]
    seed: int

    def config(self, config: dict[str, Any], fold: int) -> dict[str, Any]:
        """Gives a config with the split replaced by a fold."""
        layout, cut = self.layout, self.folding.cut(self.layout.fold, fold)
        if not layout.before and not layout.after:
            return self.split.rewritten(config, [cut])
        shares = ShareCuts(self.folding, self.split.shares(config), self.shares, self.seed)
        before = shares.of(layout.before, ("train", layout.fold, *layout.after))
        return self.split.rewritten(config, [*before, cut, *shares.of(layout.after, ("train",))])


class _FoldPlan(TrialPlan):
    """Configurations on their folds under their seeds."""

    def __init__(self, *args: Any, cutting: _Cutting, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._cutting = cutting

    def configured(self, point: Point, fold: int) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """See `TrialPlan`."""
        facts = {"role": "fold", "fold": fold, "repeat": self._cutting.folding.repeat_of(fold)}
        return self._cutting.config(point.config, fold), facts
