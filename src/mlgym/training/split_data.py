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
    """The samples of a split are not those that a checkpoint was trained with.

    Args:
        checkpoint: its name.
        changes: by split the fingerprints before and now.
    """

    def __init__(self, checkpoint: str, changes: Mapping[str, tuple[Fingerprint, Fingerprint]]) -> None:
        self.changes = dict(changes)
        super().__init__(
            f"data changed since {checkpoint}: {_listed(changes)}. Restore it and go on with --retry-failed, start "
            "another run, or admit it with --allow-data-change"
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

    def compare(self, saved: Mapping[str, Any], reporter: Reporter, *, checkpoint: str, allow_change: bool) -> None:
        """Compares the splits with those that a checkpoint was trained with.

        Nothing is read for what the checkpoint does not know, as those of older versions; and a split that differs from
        itself when it is read twice proves nothing, which is said.

        Args:
            saved: as `state_dict` gave it.
            reporter: is told what cannot be compared, and what was admitted.
            checkpoint: its name, for the error.
            allow_change: go on with other data.

        Raises:
            DataChangedError: the samples of a split are others, and nobody allowed it.
        """
        changes: dict[str, tuple[Fingerprint, Fingerprint]] = {}
        for split in [split for split in self._loaders if split in saved]:
            before, now = Fingerprint(**saved[split]), self._fingerprint(split)
            if now is None:
                reporter.warn(f"whether the data of `{split}` changed since checkpoint {checkpoint} cannot be told")
                self._found[split] = before  # what the checkpoint was trained with is still known
            elif now != before and fingerprint(self._loaders[split]) != now:
                reporter.warn(f"`{split}` has other samples each time it is read: whether its data changed is unknown")
            elif now != before:
                changes[split] = (before, now)
        if changes and not allow_change:
            raise DataChangedError(checkpoint, changes)
        if changes:
            reporter.warn(f"data changed since {checkpoint}, as was allowed: {_listed(changes)}")

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
