"""Finding the checkpoint from which an experiment goes on, and putting its folder and the log in step with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from mlgym.errors import TrainingError
from mlgym.training.checkpoint import (
    CheckpointContent,
    delete_checkpoint,
    list_checkpoints,
    read_checkpoint,
    tidy,
)
from mlgym.training.context import ExperimentContext
from mlgym.training.reporting import Reporter
from mlgym.training.state_codec import restore

STATE_FORMAT: Final = 1
"""How `state.json` is to be read; the next number wherever what is in there changes."""


class Resumption:
    """One attempt to go on with an experiment.

    Args:
        folder: its checkpoints' folder, which nobody else writes to.
        context: the surroundings.
        reporter: is told what is found.
    """

    def __init__(self, folder: Path, context: ExperimentContext, reporter: Reporter) -> None:
        self._folder = folder
        self._context = context
        self._reporter = reporter
        tidy(folder)

    def newest_state(self) -> tuple[CheckpointContent, Path, dict[str, Any]] | None:
        """Gives the newest checkpoint that is whole, where it lies, and its state; None where there is none.

        One that is damaged is reported and passed over.

        Raises:
            TrainingError: it was written by a version of MLgym that kept its state in another way.
        """
        for stored in reversed(list_checkpoints(self._folder)):
            try:
                content = read_checkpoint(stored)
            except TrainingError as error:
                self._reporter.warn(f"{error}; the checkpoint before it is taken, or the start")
            else:
                found = content.state.get("format", "unknown")
                if found != STATE_FORMAT:
                    raise TrainingError(
                        f"checkpoint {stored.path} was written by another version of MLgym (format {found}, this one "
                        f"reads {STATE_FORMAT}): go on with that version, which `run_config.yml` of the run "
                        "names, or start the run anew"
                    )
                return content, stored.path, restore(content.state, content.tensors)
        return None

    def settle(self, names: frozenset[str]) -> None:
        """Removes every checkpoint that is not to stand, and tells the log of what it does not know.

        Args:
            names: folders of those that are to stand.
        """
        known = {Path(path).name for path in self._context.known_checkpoints}
        for stored in list_checkpoints(self._folder):
            if stored.path.name not in names:
                self._delete(stored.path)
            elif stored.path.name not in known:
                self._reporter.checkpoint_saved(stored, ("found",))
        standing = {stored.path.name for stored in list_checkpoints(self._folder)}
        for name in sorted(known - standing):
            self._reporter.checkpoint_deleted(self._folder / name)

    def _delete(self, path: Path) -> None:
        try:
            delete_checkpoint(path)
        except OSError as error:
            self._reporter.warn(f"checkpoint {path} is not needed, but cannot be deleted: {error.strerror or error}")
