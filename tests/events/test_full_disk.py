"""Full disks, the real ones: a small tmpfs and the file size limit. No event confirmed is lost, none is merged."""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlgym.errors import EventLogError
from mlgym.events import EventLog, LogSink, Producer, read_torn
from tests.events.samples import log_event, messages


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    mount_point = tmp_path / "small"
    mount_point.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", mount_point], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "-l", mount_point], check=True)


def fill(folder: Path) -> Path:
    """Takes all the space there is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


@pytest.mark.parametrize("group_size", [1, 7, 300])
def test_full_disk(small_disk: Path, group_size: int) -> None:
    """Groups that find no room are refused and leave no trace; with space they are stored once, in order."""
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 100_000)
    producer = Producer()
    confirmed: list[str] = []
    with EventLog.open(small_disk / "event_storage.log") as log:

        def append(names: list[str]) -> None:
            log.append([producer.encode(log_event(name)) for name in names])
            confirmed.extend(names)

        def append_forever() -> None:
            for start in itertools.count(step=group_size):
                append([str(number) for number in range(start, start + group_size)])

        with pytest.raises(EventLogError, match="No space left"):
            append_forever()
        assert confirmed or group_size == 300
        assert messages(log.path) == confirmed
        filler.unlink()
        append([f"late {number}" for number in range(group_size)])
        assert messages(log.path) == confirmed
    assert not list(read_torn(log.path))


def test_sink_outlasts_a_full_disk(small_disk: Path) -> None:
    """A sink keeps what cannot be written, says why, and writes it in order once there is room."""
    with EventLog.open(small_disk / "event_storage.log") as log:
        sink = LogSink(log)
        sink.emit(log_event("before"))
        assert sink.flush() == 1
        filler = fill(small_disk)
        for number in range(100):
            sink.emit(log_event(f"{number:0100}"))
            sink.flush(ignore_pause=True)
        assert sink.pending > 50  # the last page of the file takes some
        assert "No space left" in str(sink.error)
        filler.unlink()
        sink.emit(log_event("after"))
        sink.flush(ignore_pause=True)
        assert (sink.pending, sink.error, sink.dropped) == (0, None, 0)
        assert messages(log.path) == ["before", *(f"{number:0100}" for number in range(100)), "after"]


def test_control_buffered_file_on_a_full_disk(small_disk: Path) -> None:
    """A plain file that tries again after each error ends up with lines twice, torn or merged."""
    path = small_disk / "plain.log"
    with path.open("a", buffering=1000) as file:
        filler = fill(small_disk)
        failed: list[str] = []
        for number in range(200):
            line = json.dumps({"message": f"{number:0100}"}) + "\n"
            try:
                file.write(line)
                file.flush()
            except OSError:
                failed.append(line)
        filler.unlink()
        for line in failed:
            file.write(line)
    lines = path.read_text().splitlines()
    assert lines != [json.dumps({"message": f"{number:0100}"}) for number in range(200)]
    assert len(lines) != len(set(lines)) or not all(line.endswith("}") for line in lines)


def test_torn_log_on_a_full_disk(small_disk: Path) -> None:
    """Opening a torn log while there is no room for the tail refuses and changes nothing."""
    path = small_disk / "event_storage.log"
    path.write_bytes(b"torn" * 5000)
    filler = fill(small_disk)
    with pytest.raises(EventLogError, match="No space left"):
        EventLog.open(path)
    assert path.read_bytes() == b"torn" * 5000
    assert {entry.name for entry in small_disk.iterdir()} == {"event_storage.log", "filler"}
    filler.unlink()
    with EventLog.open(path) as log:
        assert log.num_events == 0
    assert [piece.data for piece in read_torn(path)] == [b"torn" * 5000]


def in_child(work: Callable[[], None]) -> None:
    """Runs `work` in a forked child, so that its limits are its own."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_file_size_limit(tmp_path: Path) -> None:
    """`ulimit -f` cuts a write off in the middle; the log stays whole, and goes on when the limit is raised."""
    path = tmp_path / "event_storage.log"

    def work() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        with EventLog.open(path) as log:
            sink = LogSink(log)
            for number in range(100):
                sink.emit(log_event(str(number)))
                sink.flush(ignore_pause=True)
            assert "File too large" in str(sink.error)
            assert 20 < sink.pending < 80
            stored = messages(path)
            assert stored == [str(number) for number in range(100 - sink.pending)]
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            sink.flush(ignore_pause=True)
            assert (sink.pending, sink.error) == (0, None)

    in_child(work)
    assert messages(path) == [str(number) for number in range(100)]


def test_control_file_size_limit(tmp_path: Path) -> None:
    """The same with a plain file leaves a torn line."""
    path = tmp_path / "plain.log"

    def work() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
        with path.open("ab", buffering=0) as file:
            for number in range(100):
                try:
                    file.write(b'{"message":"%d"}\n' % number)
                except OSError:
                    return

    in_child(work)
    assert not path.read_bytes().endswith(b"\n")
