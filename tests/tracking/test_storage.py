"""The storage folder: new runs, finding them by id, beginning or `latest`, and what is no run."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from mlgym.errors import InvalidNameError, RunError
from mlgym.events import Event, EventLog
from mlgym.tracking import create_run_folder, find_run, list_runs, storage


def make_run(folder: Path, run_id: str, started_at: int | None = None, **payload: object) -> None:
    run = create_run_folder(folder, run_id)
    if started_at is not None:
        with EventLog.open(run.log_path, fsync=False) as log:
            log.append([Event(event_type="run_started", creation_ts=started_at * 1_000_000, payload=payload)])


def test_generated_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without an id gets the time of day; within one second they are counted."""
    monkeypatch.setattr(storage, "run_id_at", lambda moment: "2026-11-23--16-14-30")
    ids = [create_run_folder(tmp_path / "new" / "storage").run_id for _ in range(3)]
    assert ids == ["2026-11-23--16-14-30", "2026-11-23--16-14-30-1", "2026-11-23--16-14-30-2"]
    monkeypatch.undo()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d--\d\d-\d\d-\d\d", create_run_folder(tmp_path).run_id)


def test_runs_made_at_once_do_not_share_a_folder(tmp_path: Path) -> None:
    """Several runs that start in the same second each get their own folder."""
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(create_run_folder(tmp_path).run_id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 8


def test_a_given_id_must_be_free_and_allowed(tmp_path: Path) -> None:
    """An id that is taken, is no name, or has a meaning of its own is refused."""
    create_run_folder(tmp_path, "mine")
    with pytest.raises(RunError, match="`mine` exists already"):
        create_run_folder(tmp_path, "mine")
    for run_id in ("", "..", "a/b", "latest", "x" * 129, "a.lock"):
        with pytest.raises(InvalidNameError):
            create_run_folder(tmp_path, run_id)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def test_storage_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the way is an error that names the folder."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunError, match=f"`{folder}`"):
            create_run_folder(folder)
    with pytest.raises(RunError, match="cannot be read"):
        list_runs(tmp_path / "file")


def test_newest_first(tmp_path: Path) -> None:
    """Runs are ordered by their first event, not by their names; those without one by their log's age."""
    make_run(tmp_path, "b", 100)
    make_run(tmp_path, "a", 300)
    make_run(tmp_path, "c", 200)
    make_run(tmp_path, "empty")
    os.utime(tmp_path / "empty" / "event_storage.log", (250, 250))
    assert [run.run_id for run in list_runs(tmp_path)] == ["a", "empty", "c", "b"]
    assert find_run(tmp_path, "latest").run_id == "a"


def test_latest_is_no_repetition(tmp_path: Path) -> None:
    """Who reproduces a run goes on speaking of that run; where there are only repetitions, the newest one is meant."""
    make_run(tmp_path, "again", 300, reproduces="first")
    assert find_run(tmp_path, "latest").run_id == "again"
    make_run(tmp_path, "first", 100)
    make_run(tmp_path, "again-control-0", 400, reproduces="first")
    assert find_run(tmp_path, "latest").run_id == "first"
    assert [run.run_id for run in list_runs(tmp_path)] == ["again-control-0", "again", "first"]


def test_strangers_are_passed_over(tmp_path: Path) -> None:
    """Files, folders without a log, odd names and links out of the storage folder are no runs."""
    make_run(tmp_path / "storage", "run", 100)
    make_run(tmp_path / "elsewhere", "other", 100)
    folder = tmp_path / "storage"
    (folder / "notes.txt").write_text("")
    (folder / "notes").mkdir()
    (folder / ".git").mkdir()
    (folder / "odd name").mkdir()
    (folder / "odd name" / "event_storage.log").write_text("")
    (folder / "is-a-folder" / "event_storage.log").mkdir(parents=True)
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    (folder / "out").symlink_to(tmp_path / "elsewhere" / "other")
    (folder / "log-out").mkdir()
    (folder / "log-out" / "event_storage.log").symlink_to(tmp_path / "elsewhere" / "other" / "event_storage.log")
    (folder / "alias").symlink_to(folder / "run")
    assert {run.run_id for run in list_runs(folder)} == {"run", "alias"}
    for name in ("out", "log-out"):
        with pytest.raises(RunError, match=f"`{name}` leads out of"):
            find_run(folder, name)
    assert list_runs(tmp_path / "missing") == []


def test_a_storage_folder_behind_a_link(tmp_path: Path) -> None:
    """The storage folder itself may be a link, as on clusters."""
    make_run(tmp_path / "real", "run", 100)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert find_run(tmp_path / "link", "run").run_id == "run"
    assert len(list_runs(tmp_path / "link")) == 1


def test_find_by_beginning(tmp_path: Path) -> None:
    """The whole id wins over longer ones; a beginning must be of exactly one."""
    for number, run_id in enumerate(["2026-11-23--16-14-30", "2026-11-23--16-14-30-1", "2026-12-01--10-00-00"]):
        make_run(tmp_path, run_id, number)
    assert find_run(tmp_path, "2026-11-23--16-14-30").run_id == "2026-11-23--16-14-30"
    assert find_run(tmp_path, "2026-12").run_id == "2026-12-01--10-00-00"
    with pytest.raises(RunError, match=r"`2026-11` is the beginning of 2 runs: .*-30-1, .*-30"):
        find_run(tmp_path, "2026-11")


def test_errors_name_the_nearest(tmp_path: Path) -> None:
    """A run that is not there: the nearest name and the known ones."""
    with pytest.raises(RunError, match="there are no runs"):
        find_run(tmp_path, "latest")
    make_run(tmp_path, "mnist-grid", 1)
    with pytest.raises(RunError, match=r"there is no run `mnist-gird`.*did you mean `mnist-grid`"):
        find_run(tmp_path, "mnist-gird")
    for run_id in ("..", "", "a/b", "../mnist-grid"):
        with pytest.raises(InvalidNameError):
            find_run(tmp_path, run_id)
