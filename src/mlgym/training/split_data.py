"""What the splits of an experiment come to: told to the log, kept in checkpoints, compared when it goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from mlgym.components.data import Fingerprint, Loader, class_counts, fingerprint
from mlgym.errors import TrainingError
from mlgym.training.reporting import Reporter

_HASH_SHOWN: Final = 8


class DataChangedError(TrainingError):
    """The samples of a split are not those that the experiment was trained with so far.

    Args:
        since: what it was trained with them for: the name of a checkpoint, or the beginning.
        changes: by split the fingerprints before and now.
    """

    def __init__(self, since: str, changes: Mapping[str, tuple[Fingerprint, Fingerprint]]) -> None:
        self.changes = dict(changes)
        # It is a failure by now, so that both remedies have to ask for another try.
        super().__init__(
            f"data changed since {since}: {_listed(changes)}. Restore it and go on with --retry-failed, start "
            "another run, or admit it with --retry-failed --allow-data-change"
        )


class SplitData:
    """The fingerprints of the splits that an experiment reads, each found out when it is first asked for.

    Args:
        loaders: by split.
    """

    def __init__(self, loaders: Mapping[str, Loader]) -> None:
        self._loaders = loaders
        self._found: dict[str, Fingerprint | None] = {}

    def tell(self, reporter: Reporter) -> None:
        """Tells the log of each split that has a fingerprint."""
        for split, loader in self._loaders.items():
            found = self._fingerprint(split)
            if found is not None:
                reporter.data(split, found, class_counts(loader.dataset))

    def state_dict(self) -> dict[str, Any]:
        """Gives by split what is known by now."""
        return {split: dataclasses.asdict(found) for split, found in self._found.items() if found is not None}

    def compare(
        self, saved: Mapping[str, Any], reporter: Reporter, *, checkpoint: str | None, allow_change: bool
    ) -> None:
        """Compares the splits with those that a checkpoint was trained with, or that the experiment began with.

        Nothing is read for what is not known, as of older versions; and a split that differs from itself when it is
        read twice proves nothing, which is said.

        Args:
            saved: as `state_dict` gave it; `covers` may be missing.
            reporter: is told what cannot be compared, and what was admitted.
            checkpoint: its name, for the error; None where the experiment begins anew.
            allow_change: go on with other data.

        Raises:
            DataChangedError: the samples of a split are others, and nobody allowed it.
        """
        since = checkpoint or "the experiment began"
        changes: dict[str, tuple[Fingerprint, Fingerprint]] = {}
        for split in [split for split in self._loaders if split in saved]:
            before, now = Fingerprint(**{"covers": "all", **saved[split]}), self._fingerprint(split)
            if now is None:
                reporter.warn(f"whether the data of `{split}` changed since {since} cannot be told")
                self._found[split] = before  # what it was trained with is still known
            elif now.sha256 == before.sha256:
                continue
            elif fingerprint(self._loaders[split]) != now:
                reporter.warn(f"`{split}` has other samples each time it is read: whether its data changed is unknown")
            else:
                changes[split] = (before, now)
        if changes and not allow_change:
            raise DataChangedError(since, changes)
        if changes:
            reporter.warn(f"data changed since {since}, as was allowed: {_listed(changes)}")

    def _fingerprint(self, split: str) -> Fingerprint | None:
        if split not in self._found:
            self._found[split] = fingerprint(self._loaders[split])
        return self._found[split]


def _listed(changes: Mapping[str, tuple[Fingerprint, Fingerprint]]) -> str:
    """Gives the changes in few words: displays show the beginning of an error, and the remedy follows."""
    return "; ".join(
        f"`{split}` {before.num_samples} samples ({before.sha256[:_HASH_SHOWN]}) -> {now.num_samples} "
        f"({now.sha256[:_HASH_SHOWN]})"
        for split, (before, now) in changes.items()
    )
