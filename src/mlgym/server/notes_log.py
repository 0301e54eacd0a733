"""What people write on runs - names, tags, notes - and what became of runs: events in a log of the storage's own.

The logs of runs stay as they were written. Nothing is held open between two changes, so that several services can share
a storage folder.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mlgym.errors import EventLogError
from mlgym.events import EventLog, Producer, RunAnnotated, RunRestored, RunTrashed, decode
from mlgym.events.scan import whole_lines

NOTES_FILE: Final = ".notes.log"
"""Within the storage folder; no run can be called so."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What is written on a run.

    Args:
        name: what to call it; empty for what its config calls it.
        tags: in the order in which they were given.
        notes: free text.
    """

    name: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""


class NotesLog:
    """The notes on the runs of a storage folder; any thread may use it."""

    def __init__(self, storage: Path) -> None:
        self._path = storage / NOTES_FILE
        self._producer = Producer()
        self._mutex = threading.Lock()
        self._forget()

    def write(self, payload: RunAnnotated | RunTrashed | RunRestored) -> None:
        """Adds an event; it is durable afterwards.

        Raises:
            EventLogError: it cannot be written; LogInUseError where another service writes right now.
        """
        with self._mutex, EventLog.open(self._path) as log:
            log.append([self._producer.event(payload)])

    def of(self, run_id: str) -> Notes:
        """Gives what is written on a run.

        Raises:
            EventLogError: the log cannot be read.
        """
        return self.all().get(run_id, Notes())

    def all(self) -> Mapping[str, Notes]:
        """Gives what is written on runs, by run id; runs without notes are missing.

        Raises:
            EventLogError: the log cannot be read.
        """
        with self._mutex:
            self._read_on()
            return dict(self._runs)

    def of_trashed(self, run_id: str, number: int) -> Notes:
        """Gives what was written on a run that is in the trash.

        Raises:
            EventLogError: the log cannot be read.
        """
        with self._mutex:
            self._read_on()
            return self._trashed.get((run_id, number), Notes())

    def _forget(self) -> None:
        self._runs: dict[str, Notes] = {}
        self._trashed: dict[tuple[str, int], Notes] = {}
        self._position = 0
        self._inode = -1

    def _read_on(self) -> None:
        try:
            status = self._path.stat()
            if status.st_ino != self._inode or status.st_size < self._position:
                self._forget()
                self._inode = status.st_ino
            if status.st_size == self._position:
                return
            with self._path.open("rb") as file:
                file.seek(self._position)
                for line in whole_lines(file):
                    self._position += len(line)
                    self._take(decode(line))
        except FileNotFoundError:
            self._forget()
        except OSError as error:
            raise EventLogError(f"`{self._path}` cannot be read: {error.strerror}") from error

    def _take(self, event: Mapping[str, Any]) -> None:
        payload = event["payload"]
        run_id = payload["grid_search_id"]
        match event["event_type"]:
            case RunAnnotated.event_type:
                given = {key: payload[key] for key in ("name", "notes") if payload.get(key) is not None}
                if payload.get("tags") is not None:
                    given["tags"] = tuple(payload["tags"])
                self._runs[run_id] = replace(self._runs.get(run_id, Notes()), **given)
            case RunTrashed.event_type:
                self._trashed[run_id, payload["number"]] = self._runs.pop(run_id, Notes())
            case RunRestored.event_type:
                self._runs[run_id] = self._trashed.pop((run_id, payload["number"]), Notes())
