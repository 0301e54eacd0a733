"""Deleting and restoring runs, by the routes that do it, and what people write on runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlgym.errors import LogInUseError
from mlgym.events import EventLog
from mlgym.server import create_app
from mlgym.server.notes_log import NotesLog
from mlgym.server.refusal import RefusedError
from mlgym.server.senders import announce
from mlgym.server.store import HubStore
from mlgym.server.trash import Trash
from mlgym.tracking import create_run_folder, list_runs


@pytest.fixture
def trash(tmp_path: Path) -> Trash:
    return Trash(HubStore(tmp_path), NotesLog(tmp_path))


def make_run(storage: Path, run_id: str, text: str = "a: 1") -> Path:
    folder = create_run_folder(storage, run_id)
    folder.write_text("grid_search_config.yml", text)
    return folder.path


def test_there_and_back(tmp_path: Path, trash: Trash) -> None:
    """A deleted run is in no list, all of it is in the trash, and it comes back as it was."""
    for number, text in enumerate(("first: 1", "second: 2")):
        make_run(tmp_path, "run", text)
        assert trash.put("run").number == number
        assert list_runs(tmp_path) == []
    assert [(one.run_id, one.number) for one in trash.runs()] == [("run", 0), ("run", 1)]
    assert [one.folder.read_text("grid_search_config.yml") for one in trash.runs()] == ["first: 1", "second: 2"]
    assert trash.restore("run").number == 1
    assert (tmp_path / "run" / "grid_search_config.yml").read_text() == "second: 2"
    with pytest.raises(RefusedError, match="another run"):
        trash.restore("run")
    trash.put("run")
    (tmp_path / ".trash" / "run" / "1").rename(tmp_path / "elsewhere")
    trash.restore("run")
    assert (tmp_path / "run" / "grid_search_config.yml").read_text() == "first: 1"
    assert list((tmp_path / ".trash").iterdir()) == []


def test_a_run_that_is_written_stays(tmp_path: Path, trash: Trash) -> None:
    """A run that somebody writes is not taken away from under them."""
    path = make_run(tmp_path, "run")
    with EventLog.open(path / "event_storage.log"), pytest.raises(LogInUseError):
        trash.put("run")
    assert path.is_dir()
    announce(path, 60.0)
    with pytest.raises(LogInUseError, match="its driver"):
        trash.put("run")  # what it sends next would make a run without a beginning
    assert path.is_dir()
    announce(path, 0.0)
    trash.put("run")  # the control: once it is let go of
    assert not path.exists()


def test_what_is_no_run(tmp_path: Path, trash: Trash) -> None:
    """Neither what is no run, nor a link, nor anything through a link in place of the trash is moved."""
    (tmp_path / "folder").mkdir()
    outside = tmp_path / "outside"
    make_run(outside, "run")
    (tmp_path / "link").symlink_to(outside / "run")
    for run_id in ("folder", "link", "missing"):
        with pytest.raises(RefusedError, match="no run"):
            trash.put(run_id)
    make_run(tmp_path, "mine")
    (tmp_path / ".trash").mkdir(exist_ok=True)
    for left in (tmp_path / ".trash").iterdir():
        left.rmdir()
    (tmp_path / ".trash").rmdir()
    (tmp_path / ".trash").symlink_to(outside)
    for act in (trash.put, trash.restore):
        with pytest.raises(Exception, match="symbolic link"):
            act("mine")
    assert (tmp_path / "mine").is_dir()
    assert [path.name for path in outside.iterdir()] == ["run"]


def asked(storage: Path, ask: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        transport = httpx.ASGITransport(app=create_app(storage, rest=True))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api/v1/runs/") as client:
            return await ask(client)

    return asyncio.run(run())


def test_routes(tmp_path: Path) -> None:
    """Notes are changed field by field; a run goes and comes back with them; missing ones are 404."""
    make_run(tmp_path, "run")

    async def ask(http: httpx.AsyncClient) -> None:
        change = {"name": " first ", "tags": ["x", "y", "x"], "notes": "two\nlines"}
        assert (await http.patch("run", json=change)).json() == {
            "run_id": "run",
            "name": "first",
            "tags": ["x", "y"],
            "notes": "two\nlines",
        }
        assert (await http.patch("run", json={"tags": []})).json()["tags"] == []
        assert (await http.patch("run", json={})).json()["name"] == "first"
        assert (await http.delete("run")).json() == {"run_id": "run", "number": 0}
        for method in ("PATCH", "DELETE"):
            assert (await http.request(method, "run", json={})).status_code == 404
        assert (await http.post("run/restore")).json() == {"run_id": "run", "number": 0}
        assert (await http.get("run/notes")).json()["notes"] == "two\nlines"
        assert (await http.post("run/restore")).status_code == 404

    asked(tmp_path, ask)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x" * 201},
        {"name": "two\nlines"},
        {"name": "\u202egpj.exe"},
        {"name": 1},
        {"name": "\x1b[31m"},
        {"tags": "x"},
        {"tags": [""]},
        {"tags": [" "]},
        {"tags": ["x" * 65]},
        {"tags": ["\x00"]},
        {"tags": ["x"] * 51},
        {"notes": "x" * 65_537},
        {"run_id": "other"},
        [],
    ],
    ids=lambda change: str(change)[:40],
)
def test_changes_that_are_refused(tmp_path: Path, change: object) -> None:
    """Text that is too long, or would run over the line in a table or terminal, is refused and not kept."""
    make_run(tmp_path, "run")

    async def ask(http: httpx.AsyncClient) -> int:
        return (await http.patch("run", json=change)).status_code

    assert asked(tmp_path, ask) == 422
    assert not (tmp_path / ".notes.log").exists()
