"""Names, tags and notes: folded from a log that several services share."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgym.errors import LogInUseError
from mlgym.events import EventLog, RunAnnotated, RunRestored, RunTrashed, read_log
from mlgym.server.notes_log import NOTES_FILE, Notes, NotesLog


def test_changes_add_up(tmp_path: Path) -> None:
    """What a change leaves out stays; what it empties is empty; other services see it at once, and after a restart."""
    one, other = NotesLog(tmp_path), NotesLog(tmp_path)
    assert other.all() == {}
    one.write(RunAnnotated(grid_search_id="a", name="first", tags=["x", "y"]))
    assert other.of("a") == Notes("first", ("x", "y"))
    other.write(RunAnnotated(grid_search_id="a", notes="seen", tags=[]))
    other.write(RunAnnotated(grid_search_id="b", name="second"))
    for log in (one, other, NotesLog(tmp_path)):
        assert log.all() == {"a": Notes("first", (), "seen"), "b": Notes("second")}
    assert [logged.event["event_type"] for logged in read_log(tmp_path / NOTES_FILE)] == ["run_annotated"] * 3


def test_trash_keeps_notes(tmp_path: Path) -> None:
    """Notes go to the trash with their run and come back with it; another run of the same id has none."""
    log = NotesLog(tmp_path)
    log.write(RunAnnotated(grid_search_id="a", name="first"))
    log.write(RunTrashed(grid_search_id="a", number=0))
    assert log.of("a") == Notes()
    assert log.of_trashed("a", 0) == Notes("first")
    log.write(RunAnnotated(grid_search_id="a", name="second"))
    log.write(RunTrashed(grid_search_id="a", number=1))
    log.write(RunRestored(grid_search_id="a", number=0))
    assert (log.of("a"), log.of_trashed("a", 1)) == (Notes("first"), Notes("second"))


def test_a_log_that_is_replaced(tmp_path: Path) -> None:
    """Where the log is taken away, or another one put in its place, what was in the old one is forgotten."""
    log = NotesLog(tmp_path)
    log.write(RunAnnotated(grid_search_id="a", name="first"))
    assert log.of("a").name == "first"
    (tmp_path / NOTES_FILE).unlink()
    assert log.all() == {}
    log.write(RunAnnotated(grid_search_id="b", name="second"))
    assert log.all() == {"b": Notes("second")}


def test_one_writer(tmp_path: Path) -> None:
    """While somebody else writes, a change is refused and nothing of it is kept."""
    log = NotesLog(tmp_path)
    with EventLog.open(tmp_path / NOTES_FILE), pytest.raises(LogInUseError):
        log.write(RunAnnotated(grid_search_id="a", name="first"))
    assert log.all() == {}
