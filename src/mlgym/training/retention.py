"""Which checkpoints of an experiment stand, and which go once a new one does.

Those that the strategy asked for are kept as it says. Those taken within an epoch, or because of a stop request, only
serve to go on from: the newest one, until a newer checkpoint of either kind stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from mlgym.tracking.manifest import MANIFEST_FILE
from mlgym.training.checkpoint import checkpoint_name
from mlgym.training.strategies import CheckpointStrategy, Snapshot


class Retention:
    """Keeps the account of the checkpoints in one folder.

    Args:
        strategy: decides after each epoch.
        folder: the checkpoints' folder of the experiment.
    """

    def __init__(self, strategy: CheckpointStrategy, folder: Path) -> None:
        self._strategy = strategy
        self._folder = folder
        self._kept: list[Snapshot] = []
        self._passing: Snapshot | None = None

    @property
    def newest(self) -> Snapshot | None:
        """The newest checkpoint that stands or is on its way; None where there is none."""
        known = [*self._kept, *([self._passing] if self._passing else [])]
        return max(known, key=lambda one: (one.step, one.epoch), default=None)

    def after_epoch(self, candidate: Snapshot) -> tuple[tuple[str, ...], tuple[Path, ...]]:
        """Takes the end of an epoch.

        Returns:
            Why it is to be saved (nothing: it is not), and which checkpoints go once it stands.
        """
        decision = self._strategy.decide(candidate, tuple(self._kept))
        if not decision.reasons:
            return (), ()
        self._kept = [one for one in self._kept if one not in decision.delete] + [candidate]
        return decision.reasons, self._paths([*decision.delete, *self._let_pass(None)])

    def within_epoch(self, candidate: Snapshot) -> tuple[Path, ...]:
        """Takes a moment that will be saved to go on from; gives which checkpoints go once it stands."""
        return self._paths(self._let_pass(candidate))

    def _let_pass(self, snapshot: Snapshot | None) -> list[Snapshot]:
        before, self._passing = self._passing, snapshot
        same = before is None or (
            snapshot is not None and (before.epoch, before.step) == (snapshot.epoch, snapshot.step)
        )
        return [] if same or before is None else [before]

    def _stands(self, snapshot: Snapshot) -> bool:
        return (self._folder / checkpoint_name(snapshot.epoch, snapshot.step) / MANIFEST_FILE).is_file()

    def _paths(self, snapshots: Iterable[Snapshot]) -> tuple[Path, ...]:
        return tuple(self._folder / checkpoint_name(one.epoch, one.step) for one in snapshots)

    @property
    def names(self) -> frozenset[str]:
        """The folders of all checkpoints that are to stand."""
        known = [*self._kept, *([self._passing] if self._passing else [])]
        return frozenset(checkpoint_name(one.epoch, one.step) for one in known)

    def state_dict(self) -> dict[str, Any]:
        """Gives the account."""
        passing = None if self._passing is None else _plain(self._passing)
        return {"kept": [_plain(one) for one in self._kept], "passing": passing}

    def load_state_dict(self, state: dict[str, Any], elsewhere: Collection[str] = ()) -> None:
        """Goes on from a state; checkpoints that are gone since, or have lost their manifest, are forgotten.

        Args:
            state: as `state_dict` gave it.
            elsewhere: names of those that stand at another place than the folder.
        """
        known = [Snapshot(**one) for one in state["kept"]]
        self._kept = [one for one in known if self._stands(one) or checkpoint_name(one.epoch, one.step) in elsewhere]
        self._passing = None if state["passing"] is None else Snapshot(**state["passing"])


def _plain(snapshot: Snapshot) -> dict[str, Any]:
    return {"epoch": snapshot.epoch, "step": snapshot.step, "scores": dict(snapshot.scores)}
