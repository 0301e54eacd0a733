"""Ways to split as plain data, as they stand in the configs of experiments, and how many folds they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from mlgym.config import ModeView
from mlgym.errors import Fault
from mlgym.validation.splitter import Splitter

Folds: TypeAlias = Annotated[int, Field(ge=2)] | Splitter
"""A number of k-fold's folds, >= 2, or a way to split such as `{use: time_series_split, folds: 5}`."""


@dataclass(frozen=True, slots=True)
class Folding:
    """A way to split.

    Args:
        spec: the component that does it, as plain data with every default.
        num_folds: how many folds it makes.
    """

    spec: dict[str, Any]
    num_folds: int

    def repeat_of(self, fold: int) -> int | None:
        """Gives the repeat that a fold is in, from 0; None where it is not repeated."""
        repeats = self.spec.get("repeats", 1)
        return fold // (self.num_folds // repeats) if isinstance(repeats, int) and repeats > 1 else None

    def cut(self, part: str | None, fold: int) -> dict[str, Any]:
        """Gives the cut of `fold_split` that makes a fold the named part."""
        return {"part": part, "folds": self.spec, "fold": fold}

    def share_cut(self, part: str, share: float, seed: int) -> dict[str, Any]:
        """Gives a cut that sets a share of the rows apart in the same manner: by groups, by class, or the latest.

        Args:
            part: what it becomes.
            share: in (0, 1).
            seed: of the drawing.
        """
        spec: dict[str, Any] = {"use": "shuffle_split"}
        if "groups" in self.spec:
            spec = {"use": "group_shuffle_split", "groups": self.spec["groups"]}
        elif str(self.spec["use"]).startswith("stratified"):
            spec = {"use": "stratified_shuffle_split", "target": self.spec.get("target")}
        elif self.spec["use"] in ("time_series_split", "last_rows"):
            return {"part": part, "folds": {"use": "last_rows", "test_size": share}, "fold": 0}
        settings = {"folds": 1, "test_size": share, "train_size": None, "seed": seed}
        return {"part": part, "folds": {**spec, **settings}, "fold": 0}


@dataclass(frozen=True, slots=True)
class KFoldWords:
    """The settings that stand beside a bare number of folds.

    Args:
        stratified: the same share of every class in each fold.
        groups: the column of what is not torn apart; None for none.
        shuffle: deal rows out at random.
        repeats: how often.
        seed: of the shuffling.
    """

    stratified: bool
    groups: str | None
    shuffle: bool
    repeats: int
    seed: int

    def folding(self, folds: Folds, given: Any) -> Folding:
        """Gives a way to split.

        Args:
            folds: as the mode has it.
            given: the same as plain data.
        """
        if not isinstance(folds, int):
            return Folding(dict(given), folds.num_folds)
        kind = {
            (False, False): "k_fold",
            (True, False): "stratified_k_fold",
            (False, True): "group_k_fold",
            (True, True): "stratified_group_k_fold",
        }[self.stratified, self.groups is not None]
        spec: dict[str, Any] = {"use": kind, "folds": folds, "shuffle": self.shuffle, "repeats": self.repeats}
        spec["seed"] = self.seed
        if self.stratified:
            spec["target"] = None
        if self.groups is not None:
            spec["groups"] = self.groups
        return Folding(spec, folds * self.repeats)

    def faults(self, view: ModeView, folds: Mapping[str, Folds]) -> list[Fault]:
        """Gives a fault for each of these settings that no bare number of folds takes.

        Args:
            view: the config.
            folds: the ways to split by the name of their parameter.
        """
        if self.repeats > 1 and not self.shuffle:
            return [view.fault("shuffle", "`repeats` needs `shuffle: true`: else every repeat has the same folds")]
        if any(isinstance(one, int) for one in folds.values()):
            return []
        words = {"stratified": self.stratified, "groups": self.groups, "repeats": self.repeats > 1}
        words["shuffle"] = not self.shuffle
        names = " and ".join(f"`{name}`" for name in folds)
        return [
            view.fault(word, f"goes with a bare number of folds; {names} has a way to split that says it itself")
            for word, is_set in words.items()
            if is_set and word in view.marks
        ]
