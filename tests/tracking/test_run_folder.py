"""The folder of one run: atomic files, checked names, no way out by links, and the state of the run."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from mlgym.errors import EventLogError, InvalidNameError, RunError
from mlgym.events import EventLog, JobStatus, Producer, RunFinished, RunStarted
from mlgym.tracking import RunFolder, create_run_folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return create_run_folder(tmp_path / "storage", "a-run")


def files_of(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_paths(run: RunFolder, tmp_path: Path) -> None:
    """Where things are; asking makes nothing."""
    assert run.path == tmp_path / "storage" / "a-run"
    assert run.log_path == run.path / "event_storage.log"
    assert run.experiment_dir(3) == run.path / "3"
    assert run.checkpoints_dir(3) == run.path / "3" / "checkpoints"
    assert files_of(run.path) == {"event_storage.log"}


def test_files_round_trip(run: RunFolder) -> None:
    """Text and JSON come back as written, in the run and below it; writing again replaces."""
    run.write_text("grid_search_config.yml", "name: é\n")
    run.write_text("grid_search_config.yml", "name: 日本\r\n")
    assert (run.path / "grid_search_config.yml").read_bytes() == "name: 日本\r\n".encode()
    data = {"b": [1, 2.5, None], "a": "é"}
    assert run.write_json("0/experiment_config.json", data) == run.path / "0" / "experiment_config.json"
    assert run.read_json("0/experiment_config.json") == data
    assert files_of(run.path) == {"event_storage.log", "grid_search_config.yml", "0"}
    assert files_of(run.path / "0") == {"experiment_config.json"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../other",
        "0/../../x",
        "/abs",
        "0//x",
        "0/",
        ".hidden",
        "a\\b",
        "a\x00b",
        "x" * 129,
        "é",
        "event_storage.log",
        "0/event_storage.log",
        "a.torn",
        "a.lock",
        "a\n",
    ],
)
def test_bad_names_are_refused(run: RunFolder, name: str) -> None:
    """No other text becomes part of a path, and the log cannot be replaced."""
    for call in (lambda: run.write_text(name, "x"), lambda: run.read_text(name)):
        with pytest.raises(InvalidNameError):
            call()
    assert files_of(run.path) == {"event_storage.log"}


def test_links_do_not_lead_out(run: RunFolder, tmp_path: Path) -> None:
    """A link to somewhere else is neither read, nor written through, nor replaced."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text("{}")
    (run.path / "0").symlink_to(outside)
    (run.path / "secret.json").symlink_to(outside / "secret.json")
    for name in ("0/secret.json", "secret.json"):
        with pytest.raises(RunError, match="leads out of the run"):
            run.read_json(name)
        with pytest.raises(RunError, match="leads out of the run"):
            run.write_json(name, {"a": 1})
    with pytest.raises(RunError, match="leads out of the run"):
        run.checkpoints_dir(0)
    assert (outside / "secret.json").read_text() == "{}"
    (run.path / "inner.json").symlink_to(run.write_json("real.json", 1))
    assert run.read_json("inner.json") == 1


def test_what_cannot_be_read_is_named(run: RunFolder) -> None:
    """A missing file, one that is no JSON, no text or a folder."""
    (run.path / "bad.json").write_text("{")
    (run.path / "deep.json").write_text("[" * 100_000)
    (run.path / "bytes.json").write_bytes(b"\xff")
    (run.path / "folder.json").mkdir()
    for name, message in {
        "none.json": "run `a-run` has no `none.json`",
        "bad.json": "is no JSON",
        "deep.json": "is no JSON",
        "bytes.json": "is no text",
        "folder.json": "cannot be read",
    }.items():
        with pytest.raises(RunError, match=message):
            run.read_json(name)


def test_nan_is_no_json(run: RunFolder) -> None:
    """A file that other readers refuse is not written."""
    with pytest.raises(ValueError, match="JSON compliant"):
        run.write_json("x.json", {"a": float("nan")})
    assert files_of(run.path) == {"event_storage.log"}


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(run: RunFolder, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Whatever fails on the way, what was there stays, whole, and no temporary file is left."""
    run.write_text("x.yml", "old")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path if call == "replace" else os, call, fail)
        with pytest.raises(RunError, match="No space left"):
            run.write_text("x.yml", "new" * 1000)
    assert run.read_text("x.yml") == "old"
    assert files_of(run.path) == {"event_storage.log", "x.yml"}


def test_control_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain write that fails half-way has destroyed what was there."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    path = tmp_path / "x.yml"
    path.write_text("old")
    with path.open("w") as file, full.open("w") as nowhere:
        real = os.dup(file.fileno())
        os.dup2(nowhere.fileno(), file.fileno())
        file.write("new")
        with pytest.raises(OSError, match="No space left"):
            file.flush()
        os.dup2(real, file.fileno())
        os.close(real)
        file.seek(0)
        file.truncate()
    assert path.read_text() != "old"


def test_file_is_durable_before_it_has_its_name(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of calls: write, fsync, rename, fsync of the folder."""
    calls: list[str] = []

    def spy(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    for owner, name in ((os, "write"), (os, "fsync"), (Path, "replace")):
        spy(owner, name)
    run.write_text("x.yml", "x")
    assert calls == ["write", "fsync", "replace", "fsync"]


def write_events(log: EventLog, *names: str) -> None:
    payloads = {
        "start": RunStarted(
            grid_search_id="a-run", name="n", command=[], versions={}, num_experiments=1, validation_mode="grid_search"
        ),
        "run": JobStatus(job_id="a-run-0", status="RUNNING", grid_search_id="a-run", experiment_id=0),
        "finish": RunFinished(
            grid_search_id="a-run", num_succeeded=1, num_failed=0, num_interrupted=0, num_not_started=0
        ),
    }
    producer = Producer()
    log.append([producer.encode(payloads[name]) for name in names])


def test_state_tells_a_crash(run: RunFolder) -> None:
    """A run without an end is running while somebody holds its log, and crashed when nobody does."""
    assert run.state().status == "crashed"
    with EventLog.open(run.log_path) as log:
        assert run.state().status == "running"
        write_events(log, "start", "run")
        assert run.state().status == "running"
        assert run.state().experiments[0].status == "running"
    assert run.state().status == "crashed"
    assert run.state().experiments[0].status == "interrupted"
    with EventLog.open(run.log_path) as log:
        write_events(log, "finish")
        assert run.state().status == "finished"
    assert run.state().status == "finished"
    assert [logged.event_id for logged in run.events(1)] == [1, 2]


def test_asking_for_the_state_disturbs_no_writer(run: RunFolder) -> None:
    """However often somebody looks, a writer can open the log."""
    child = os.fork()
    if child == 0:
        while True:
            run.state()
    try:
        for _ in range(200):
            EventLog.open(run.log_path, fsync=False).close()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_run_without_a_log(tmp_path: Path) -> None:
    """A folder whose log is gone is told as such."""
    with pytest.raises(EventLogError, match="cannot be read"):
        RunFolder(tmp_path, "nothing").state()


def test_json_is_readable_by_people(run: RunFolder) -> None:
    """Files are indented, end in a newline, and keep letters as they are."""
    run.write_json("x.json", {"a": "é"})
    text = (run.path / "x.json").read_text(encoding="utf-8")
    assert text == '{\n  "a": "é"\n}\n'
    assert json.loads(text) == {"a": "é"}
