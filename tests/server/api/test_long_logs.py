"""Logs that take long to read: the list of runs does not wait for them, nor does whoever asks for something else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import httpx
import pytest
import uvicorn

from mlgym.events.scan import whole_lines
from mlgym.server.api import summaries
from mlgym.server.api.models.runs import RunDetail, RunList
from mlgym.server.api.reads import Reads
from mlgym.server.limits import Limits
from mlgym.server.notes_log import NotesLog
from mlgym.server.projection import reader, sketch
from mlgym.server.rest import rest_app
from mlgym.server.serving import Address, listen
from mlgym.server.store import HubStore
from mlgym.server.trash import Trash
from tests.server.api.asking import API
from tests.server.projection.logs import Recorder, write_run

LONG: Final = "long"
AT_ONCE: Final = 5000
"""Between the lengths of a short and of the long log."""
PATIENCE_S: Final = 60.0
NUM_ASKED: Final = 44
"""More than the 40 threads that a service answers with."""


@contextmanager
def served(storage: Path, at_once_bytes: int) -> Iterator[tuple[httpx.Client, Reads]]:
    """Gives a REST service in this process, so that a test can keep it from reading a log."""
    store, notes = HubStore(storage), NotesLog(storage)
    trash = Trash(store, notes)
    reads = Reads(store, notes, trash, at_once_bytes=at_once_bytes)
    app = rest_app(store, notes, trash, reads, Limits())
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    with listen(Address(port=0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        host, port = listening.getsockname()
        limits = httpx.Limits(max_connections=2 * NUM_ASKED)
        base_url = f"http://{host}:{port}"
        try:
            with httpx.Client(base_url=base_url, trust_env=False, timeout=PATIENCE_S, limits=limits) as client:
                yield client, reads
        finally:
            server.should_exit = True
            thread.join()
            reads.close()


@contextmanager
def kept_from_reading(reads: Reads, storage: Path) -> Iterator[None]:
    """Lasts as a long log would: whoever reads it stops before its next piece."""
    projection = reads._projections._projection(storage / LONG / "event_storage.log")
    with projection.lock:
        yield


def until(client: httpx.Client, wanted: Any) -> dict[str, Any]:
    """The long run in the list, once it is as wanted."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        listed = client.get(API).json()
        RunList.model_validate(listed)
        found: dict[str, Any] = next(one for one in listed["runs"] if one["run_id"] == LONG)
        if wanted(found):
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come to be so")


def is_unanswered(client: httpx.Client, path: str) -> bool:
    try:
        client.get(path, timeout=0.3)
    except httpx.TimeoutException:
        return True
    return False


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(summaries, "_BYTES_OF_A_LOG", 100)
    write_run(tmp_path / LONG / "event_storage.log", LONG).add("run_finished", num_succeeded=3, num_failed=2)
    for name in ("short", "shorter"):
        Recorder(tmp_path / name / "event_storage.log", name).start(1)
    return tmp_path


def test_the_list_says_what_it_knows(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short logs are read at once; of a long one its ends are told, how far it was read, and all of it in the end."""
    monkeypatch.setattr(reader, "_PIECE_BYTES", 1000)
    monkeypatch.setattr(sketch, "_END_BYTES", 1500)
    path = storage / LONG / "event_storage.log"
    with served(storage, AT_ONCE) as (client, reads):
        with kept_from_reading(reads, storage):
            found = until(client, lambda one: one["reading"])
            others = [one for one in client.get(API).json()["runs"] if one["run_id"] != LONG]
            reads._projections._held[path].refresh(1000)
            further = until(client, lambda one: one["reading"]["bytes_read"] >= 1000)
        whole = until(client, lambda one: one["reading"] is None)
        detail = client.get(f"{API}/{LONG}").json()
    assert found["reading"] == {"bytes_read": 0, "num_bytes": path.stat().st_size}
    assert (found["num_events"], further["num_events"] > 0) == (0, True)
    assert [(one["num_events"], one["reading"]) for one in others] == [(2, None)] * 2
    ends = ("name", "status", "created_at", "last_event_at", "finished_at", "num_experiments", "validation_mode")
    assert {key: found[key] for key in ends} == {key: whole[key] for key in ends}
    assert (found["metrics"], whole["metrics"][0]["key"], found["counts"]["done"]) == ([], "val/f1", 0)
    assert {key: detail[key] for key in whole} == whole
    RunDetail.model_validate(detail)


@pytest.mark.parametrize("is_protected", [True, False])
def test_others_are_answered_meanwhile(storage: Path, is_protected: bool) -> None:
    """More questions about a long log than the service has threads keep nobody else waiting; control: they do."""
    paths = [
        f"{API}/{one}" for one in (LONG, f"{LONG}/experiments", f"{LONG}/logs", f"short/diff?a={LONG}/0&b={LONG}/1")
    ]
    others = [API, f"{API}/short", f"{API}/shorter/experiments"]
    with (
        served(storage, AT_ONCE if is_protected else 2**40) as (client, reads),
        ThreadPoolExecutor(NUM_ASKED) as pool,
    ):
        with kept_from_reading(reads, storage):
            if not is_protected:
                assert is_unanswered(client, API)
            asked = [pool.submit(client.get, paths[number % len(paths)]) for number in range(NUM_ASKED)]
            if is_protected:
                assert [client.get(path).status_code for path in others] == [200] * 3
            else:
                while not is_unanswered(client, f"{API}/short"):
                    pass  # until they have all threads
            assert not any(one.done() for one in asked)
        answers = [one.result() for one in asked]
    assert {one.status_code for one in answers} == {200}
    assert {one.text for one in answers[0::4]} == {answers[0].text}


def test_a_log_that_cannot_be_read(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list says why, instead of that it is being read for ever; once the disk is back, it is read."""

    def failing(file: BinaryIO) -> Iterator[bytes]:
        yield from islice(whole_lines(file), 2)
        raise OSError(5, "Input/output error")

    with served(storage, AT_ONCE) as (client, _):
        with monkeypatch.context() as patched:
            patched.setattr("mlgym.server.projection.projection.whole_lines", failing)
            assert "Input/output error" in until(client, lambda one: one["problem"])["problem"]
            assert client.get(f"{API}/{LONG}").status_code == 500
        assert until(client, lambda one: one["problem"] is None)["metrics"]


def test_a_service_that_ends(storage: Path) -> None:
    """Whoever waits for a long log is told to come again, instead of waiting for nothing."""
    with (
        served(storage, AT_ONCE) as (client, reads),
        ThreadPoolExecutor(2) as pool,
        kept_from_reading(reads, storage),
    ):
        asked = pool.submit(client.get, f"{API}/{LONG}")
        while not any(one.is_awaited for one in list(reads._reader._wanted.values())):
            assert not asked.done()
            time.sleep(0.01)
        pool.submit(reads._reader.close)
        answer = asked.result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ending")
