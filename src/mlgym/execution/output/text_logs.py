"""Text files beside the event log, one per experiment, for people who read logs with `less`."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from mlgym.errors import RunError


class TextLogs:
    """Writes `<folder>/<experiment_id>.log`; what cannot be written is left out, since the event log has it."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder.

        Raises:
            RunError: it cannot be made.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"no text logs can be written to `{folder}`: {error.strerror}; name another folder"
            ) from error
        self._folder = folder
        self._files: dict[int, IO[str]] = {}

    def write(self, experiment_id: int, logger: str, level: str, lines: list[str]) -> None:
        """Appends lines."""
        now = datetime.now().isoformat(sep=" ", timespec="milliseconds")
        with suppress(OSError):
            self._file(experiment_id).writelines(f"{now} {level.upper()} {logger}: {line}\n" for line in lines)

    def flush(self) -> None:
        """Lets readers see what was written."""
        for file in self._files.values():
            with suppress(OSError):
                file.flush()

    def close(self, experiment_id: int | None = None) -> None:
        """Closes the file of an experiment, or all files; writing opens it again."""
        for each in list(self._files) if experiment_id is None else [experiment_id]:
            file = self._files.pop(each, None)
            if file is not None:
                with suppress(OSError):
                    file.close()

    def _file(self, experiment_id: int) -> IO[str]:
        if experiment_id not in self._files:
            path = self._folder / f"{experiment_id}.log"
            self._files[experiment_id] = path.open("a", encoding="utf-8", errors="backslashreplace")
        return self._files[experiment_id]
