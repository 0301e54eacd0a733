"""The folder of one run: where its files are, and how they are written and read.

Every name that becomes part of a path goes through `names.safe_name`, and no link leads out of the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlgym.errors import RunError
from mlgym.events import LoggedEvent, RunState, fold_log, has_writer, read_log
from mlgym.events.durable import fsync_folder
from mlgym.names import LOG_FILE, safe_name
from mlgym.tracking.atomic import write_atomically


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run on disk.

    Args:
        storage: the folder of all runs.
        run_id: the name of the run's folder within it.
    """

    storage: Path
    run_id: str

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self.storage / self.run_id

    @property
    def log_path(self) -> Path:
        """The event log."""
        return self.path / LOG_FILE

    def experiment_dir(self, experiment_id: int) -> Path:
        """Gives the folder of an experiment; it need not exist.

        Raises:
            RunError: it leads out of the run by a symbolic link.
        """
        return self.inside(str(experiment_id))

    def checkpoints_dir(self, experiment_id: int) -> Path:
        """Gives the folder of an experiment's checkpoints; it need not exist.

        Raises:
            RunError: it leads out of the run by a symbolic link.
        """
        return self.inside(f"{experiment_id}/checkpoints")

    def write_text(self, name: str, text: str) -> Path:
        """Writes a file of the run (UTF-8), whole or not at all; replaces what is there.

        Args:
            name: a file name, or a path below the run folder such as `0/experiment_config.json`.
            text: its content.

        Returns:
            Where it is.

        Raises:
            InvalidNameError: a part of the name is not allowed or reserved.
            RunError: it leads out of the run, or cannot be written; what was there before is untouched then.
        """
        path = self.inside(name)
        self._make_dir(path.parent)
        try:
            write_atomically(path, text.encode())
        except OSError as error:
            raise RunError(f"`{path}` cannot be written: {error.strerror}") from error
        return path

    def write_json(self, name: str, data: Any) -> Path:
        """Writes plain data as an indented JSON file; else as `write_text`.

        Raises:
            InvalidNameError, RunError: as in `write_text`.
            ValueError, TypeError: the data is no JSON, for example NaN.
        """
        return self.write_text(name, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def read_text(self, name: str) -> str:
        """Gives the content of a file of the run (UTF-8).

        Raises:
            InvalidNameError: a part of the name is not allowed or reserved.
            RunError: it leads out of the run, is missing, or is no text.
        """
        path = self.inside(name)
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise RunError(f"run `{self.run_id}` has no `{name}`") from error
        except UnicodeDecodeError as error:
            raise RunError(f"`{path}` is no text: {error}") from error
        except OSError as error:
            raise RunError(f"`{path}` cannot be read: {error.strerror}") from error

    def read_json(self, name: str) -> Any:
        """Gives the content of a JSON file of the run.

        Raises:
            InvalidNameError: a part of the name is not allowed or reserved.
            RunError: it leads out of the run, is missing, or is no JSON.
        """
        try:
            return json.loads(self.read_text(name))
        except (ValueError, RecursionError) as error:
            raise RunError(f"`{self.path / name}` is no JSON: {error}") from error

    def events(self, start: int = 0) -> Iterator[LoggedEvent]:
        """Yields the events that stand in the log at this moment, from event id `start` on.

        Raises:
            EventLogError: the log is missing or cannot be read.
        """
        return read_log(self.log_path, start)

    def state(self) -> RunState:
        """Gives the state of the run: a fold over its log, `crashed` where it has no end and nobody writes it.

        Raises:
            EventLogError: the log is missing or cannot be read.
        """
        # Asked before reading: a driver that ends in between has written all before it let go.
        is_written = has_writer(self.log_path)
        state = fold_log(self.log_path)
        if not is_written:
            state.mark_crashed()
        return state

    def inside(self, name: str) -> Path:
        """Gives the path of a name below the run folder, such as `0/artifacts/curve.0/curve.png`; it need not exist.

        Raises:
            InvalidNameError: a part of the name is not allowed or reserved.
            RunError: it leads out of the run by a symbolic link.
        """
        parts = [safe_name(part, "file name") for part in name.split("/")]
        path = self.path.joinpath(*parts)
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise RunError(f"`{path}` leads out of the run by a symbolic link")
        return path

    def _make_dir(self, path: Path) -> None:
        if path.is_dir():
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
            # Each new name is durable only once the folder above it is synced.
            for folder in (path, *path.parents):
                if folder == self.path.parent:
                    break
                fsync_folder(folder)
        except OSError as error:
            raise RunError(f"folder `{path}` cannot be made: {error.strerror}") from error
