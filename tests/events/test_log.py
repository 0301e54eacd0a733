"""The writer of a log: ids, repeats, one writer at a time, trouble with the disk in this process."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlgym.errors import EventLogError
from mlgym.events import EventLog, Producer, encode, has_writer, read_log, read_torn
from tests.events.samples import log_event, messages


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "event_storage.log"


@pytest.fixture
def log(path: Path) -> Iterator[EventLog]:
    with EventLog.open(path) as log:
        yield log


class Disk:
    """Stands before `os.write`, `os.fsync` and `os.ftruncate`; the next calls can be told to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path | None = None) -> None:
        self.calls: list[str] = []
        self.plans: dict[str, list[Callable[..., int | None] | None]] = {"write": [], "fsync": [], "ftruncate": []}
        self._inode = path.stat().st_ino if path else None
        for name in self.plans:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def plan(self, name: str, *steps: Callable[..., int | None] | None) -> None:
        """Lets the next calls on the log do `steps` instead; None means the real thing."""
        self.plans[name] = list(steps)

    def _wrapped(self, name: str, real: Callable[..., int | None]) -> Callable[..., int | None]:
        def call(descriptor: int, *args: object) -> int | None:
            if self._inode is not None and os.fstat(descriptor).st_ino != self._inode:
                return real(descriptor, *args)
            self.calls.append(name)
            step = self.plans[name].pop(0) if self.plans[name] else None
            return step(real, descriptor, *args) if step else real(descriptor, *args)

        return call


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, log: EventLog) -> Disk:
    return Disk(monkeypatch, log.path)


def fails(code: int) -> Callable[..., int | None]:
    def step(real: object, *args: object) -> int | None:
        raise OSError(code, os.strerror(code))

    return step


def writes(num_bytes: int, then: BaseException | None = None) -> Callable[..., int | None]:
    def step(real: Callable[[int, bytes], int], descriptor: int, data: bytes) -> int | None:
        written = real(descriptor, data[:num_bytes])
        if then is not None:
            raise then
        return written

    return step


def test_ids_are_line_numbers(log: EventLog) -> None:
    """Events are numbered from 0 through all groups, and on after the log was opened again."""
    producer = Producer()
    assert log.append([]) == []
    assert log.append([producer.encode(log_event("0")), producer.event(log_event("1"))]) == [0, 1]
    assert log.append([producer.encode(log_event("2"))]) == [2]
    log.close()
    with EventLog.open(log.path) as again:
        assert again.recovery is None
        assert again.num_events == 3
        assert again.append([producer.encode(log_event("3"))]) == [3]
    assert messages(log.path) == ["0", "1", "2", "3"]


def test_repeats_are_stored_once(log: EventLog) -> None:
    """An event with the same producer and number is stored once: in one group, in the next, after opening again."""
    producer, other = Producer(), Producer()
    a, b, c = (producer.encode(log_event(name)) for name in "abc")
    assert log.append([a, a, b]) == [0, None, 1]
    assert log.append([b, other.encode(log_event("A")), a]) == [None, 2, None]
    log.close()
    with EventLog.open(log.path) as again:
        assert again.append([c, a, b]) == [3, None, None]
    assert messages(log.path) == ["a", "b", "A", "c"]


def test_events_without_producer_are_always_stored(log: EventLog) -> None:
    """Old clients do not number their events, so that equal ones are different events."""
    line = b'{"event_type":"x","payload":1}'
    assert log.append([line, line]) == [0, 1]


def test_a_bad_event_spoils_nothing(log: EventLog) -> None:
    """A group with something that is no event is refused as a whole."""
    with pytest.raises(EventLogError, match="not an event"):
        log.append([b'{"event_type":"x","payload":1}', b"nonsense"])
    assert log.path.read_bytes() == b""
    assert log.append([b'{"event_type":"x","payload":1}']) == [0]


def test_second_writer_is_refused(log: EventLog) -> None:
    """The log has one writer, whose process the refusal names; a reader sees whether there is one."""
    assert has_writer(log.path)
    with pytest.raises(EventLogError, match=f"is being written by process {os.getpid()}"):
        EventLog.open(log.path)
    log.append([Producer().encode(log_event())])
    log.close()
    assert not has_writer(log.path)
    EventLog.open(log.path).close()


def test_second_writer_in_another_process_is_refused(log: EventLog) -> None:
    """The same between processes."""
    program = "import sys; from mlgym.events import EventLog; EventLog.open(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", program, log.path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"is being written by process {os.getpid()}" in done.stderr


def look(path: Path) -> int:
    """Takes the lock that `has_writer` takes for a moment; it is held until what this gives is closed."""
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def test_a_look_does_not_turn_a_writer_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who asks for a writer at the moment one comes only delays it; without patience it is refused.

    There is none with a writer here, so that it is not taken for one.
    """
    path.touch()
    monkeypatch.setattr("mlgym.events.log._WRITER_PATIENCE_S", -1.0)
    monkeypatch.setattr("mlgym.events.log._LOOK_PATIENCE_S", 60.0)
    end = threading.Timer(0.05, os.close, (look(path),))
    end.start()
    EventLog.open(path).close()
    end.join()
    monkeypatch.setattr("mlgym.events.log._LOOK_PATIENCE_S", -1.0)
    held = look(path)
    with pytest.raises(EventLogError, match="is being written"):
        EventLog.open(path)
    os.close(held)


def test_a_forked_child_leaves_the_log_alone(log: EventLog) -> None:
    """A forked child can neither write the log nor keep it locked once its parent has closed it."""
    here, there = socket.socketpair()
    with here, there:
        child = os.fork()
        if child == 0:
            try:
                log.append([b'{"event_type":"x","payload":1}'])
            except EventLogError:
                there.send(b"refused")
            there.recv(1)  # lives on until the parent lets it go
            os._exit(0)
        try:
            assert here.recv(7) == b"refused"
            assert has_writer(log.path)  # the child did not release the parent's lock
            log.close()
            EventLog.open(log.path).close()
            assert log.path.read_bytes() == b""
        finally:
            here.send(b"x")
            os.waitpid(child, 0)


def test_closed_log_refuses(log: EventLog) -> None:
    """Closing twice is fine, writing afterwards is not."""
    log.close()
    log.close()
    with pytest.raises(EventLogError, match="is closed"):
        log.append([])


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A missing folder, a folder, a link and a pipe are refused with their path."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing/log", "folder", "link", "pipe"):
        with pytest.raises(EventLogError, match=name):
            EventLog.open(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(EventLogError, match="cannot be opened"):
        has_writer(tmp_path / ("x" * 300))
    assert not has_writer(tmp_path / "missing")


def test_confirmed_means_synced(log: EventLog, disk: Disk) -> None:
    """Before `append` returns, one fsync follows the last write of its group, however large the group is."""
    producer = Producer()
    log.append([producer.encode(log_event("x" * 1000)) for _ in range(500)])
    assert disk.calls == ["write", "fsync"]


def test_control_without_fsync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above notices a log that does not wait for the disk."""
    with EventLog.open(path, fsync=False) as log:
        disk = Disk(monkeypatch, path)
        log.append([Producer().encode(log_event())])
        assert disk.calls == ["write"]


def test_short_writes_are_continued(log: EventLog, disk: Disk) -> None:
    """A kernel that takes a few bytes at a time gets all of them."""
    disk.plan("write", *[writes(7)] * 20)
    assert log.append([Producer().encode(log_event("a")), Producer().encode(log_event("b"))]) == [0, 1]
    assert messages(log.path) == ["a", "b"]
    assert disk.calls.count("fsync") == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("num_bytes", [0, 1, 100, 10_000])
def test_failed_write_leaves_the_log_whole(log: EventLog, disk: Disk, code: int, num_bytes: int) -> None:
    """After a write that stopped half-way the file ends with the last confirmed event, and the retry is stored once."""
    producer = Producer()
    log.append([producer.encode(log_event("first"))])
    group = [producer.encode(log_event(name)) for name in ("second", "x" * 20_000)]
    disk.plan("write", writes(num_bytes), fails(code))
    with pytest.raises(EventLogError, match=os.strerror(code)):
        log.append(group)
    assert messages(log.path) == ["first"]
    assert log.append(group) == [1, 2]
    assert messages(log.path) == ["first", "second", "x" * 20_000]
    assert not list(read_torn(log.path))


def test_control_buffered_file_doubles_or_loses(path: Path) -> None:
    """What a plain Python file does on a full disk: it says that the write failed, and writes the line all the same."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with path.open("a") as file:
        real = os.dup(file.fileno())
        with full.open("w") as nowhere:
            os.dup2(nowhere.fileno(), file.fileno())
        file.write('{"message":"a"}\n')
        with pytest.raises(OSError, match="No space left"):
            file.flush()
        os.dup2(real, file.fileno())
        os.close(real)
        file.write('{"message":"a"}\n')  # the retry
    assert path.read_text() == '{"message":"a"}\n' * 2


def test_failed_cut_is_made_up_for(log: EventLog, disk: Disk) -> None:
    """Where even cutting back fails, the next append does it before it writes."""
    producer = Producer()
    log.append([producer.encode(log_event("first"))])
    second = producer.encode(log_event("second"))
    disk.plan("write", writes(len(second) + 40), writes(5), fails(errno.EIO))
    disk.plan("ftruncate", fails(errno.EIO), fails(errno.EIO))
    group = [second, producer.encode(log_event("third"))]
    with pytest.raises(EventLogError, match="cannot be written: Input/output"):
        log.append(group)
    with pytest.raises(EventLogError, match="cannot be opened: Input/output"):
        log.append(group)
    assert log.append(group) == [1, 2]
    assert messages(log.path) == ["first", "second", "third"]


def test_failed_fsync_is_never_retried_blindly(log: EventLog, disk: Disk) -> None:
    """After a failed fsync nothing of the group counts as stored; the file is cut, opened and scanned anew."""
    producer = Producer()
    log.append([producer.encode(log_event("first"))])
    group = [producer.encode(log_event("second"))]
    disk.plan("fsync", fails(errno.EIO))
    disk.calls.clear()
    with pytest.raises(EventLogError, match="did not reach the disk: Input/output"):
        log.append(group)
    assert disk.calls == ["write", "fsync", "ftruncate", "fsync"]  # the last one belongs to the opening
    assert messages(log.path) == ["first"]
    disk.calls.clear()
    assert log.append(group) == [1]
    assert disk.calls == ["write", "fsync"]  # the bytes were written again: their pages are dirty again
    assert messages(log.path) == ["first", "second"]


def test_a_disk_that_never_syncs(log: EventLog, disk: Disk) -> None:
    """As long as fsync fails, every append raises, nothing piles up, and it goes on when the disk works again."""
    producer = Producer()
    log.append([producer.encode(log_event("first"))])
    group = [producer.encode(log_event("second"))]
    disk.plan("fsync", *[fails(errno.EIO)] * 10)
    disk.plan("ftruncate", *[fails(errno.EIO)] * 3)
    failures = 0
    while True:
        try:
            assert log.append(group) == [1]
            break
        except EventLogError:
            failures += 1
    assert failures > 5
    assert messages(log.path) == ["first", "second"]


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_an_interrupt_in_the_middle(log: EventLog, disk: Disk, call: str) -> None:
    """Ctrl-C within an append leaves nothing half-done for the next one."""
    producer = Producer()
    log.append([producer.encode(log_event("first"))])
    group = [producer.encode(log_event("second")), producer.encode(log_event("third"))]

    def interrupt(*args: object) -> int | None:
        raise KeyboardInterrupt

    disk.plan(call, writes(len(group[0]) + 30, KeyboardInterrupt()) if call == "write" else interrupt)
    with pytest.raises(KeyboardInterrupt):
        log.append(group)
    assert log.append(group) == [1, 2]
    assert messages(log.path) == ["first", "second", "third"]
    assert log.recovery is None


def test_closing_after_an_interrupt(log: EventLog, disk: Disk) -> None:
    """Closing takes back what an interrupted append left."""
    disk.plan("write", writes(30, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        log.append([Producer().encode(log_event())])
    log.close()
    assert log.path.read_bytes() == b""


def test_foreign_bytes_are_noticed(log: EventLog) -> None:
    """What a stranger writes into the open log does not end up in one line with the next event."""
    producer = Producer()
    log.append([producer.encode(log_event("a"))])
    with log.path.open("ab") as stranger:
        stranger.write(b"torn")
    assert log.append([producer.encode(log_event("b"))]) == [1]
    assert messages(log.path) == ["a", "b"]
    assert [piece.data for piece in read_torn(log.path)] == [b"torn"]
    assert log.recovery is not None


def test_a_log_that_was_shortened_or_removed(log: EventLog) -> None:
    """Confirmed events that vanish are reported, and the log goes on with what there is."""
    producer = Producer()
    for name in "abc":
        log.append([producer.encode(log_event(name))])
    size = log.path.stat().st_size
    os.truncate(log.path, size - 5)
    assert log.append([producer.encode(log_event("d"))]) == [2]
    assert log.recovery is not None
    assert log.recovery.lost_events == 1
    assert "1 events that the disk had confirmed are gone" in str(log.recovery)
    log.path.unlink()
    assert log.append([producer.encode(log_event("e"))]) == [0]
    assert messages(log.path) == ["e"]


def test_recovery_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the torn tail cannot be kept aside, the log is not cut."""
    path.write_bytes(b"torn tail")
    disk = Disk(monkeypatch)
    disk.plan("write", writes(10), fails(errno.ENOSPC))
    with pytest.raises(EventLogError, match="No space left"):
        EventLog.open(path)
    assert path.read_bytes() == b"torn tail"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with EventLog.open(path) as log:
        assert log.num_events == 0
    assert [piece.data for piece in read_torn(path)] == [b"torn tail"]


def test_unreadable_log_is_not_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while reading is no end of the log."""
    with EventLog.open(path) as log:
        log.append([Producer().encode(log_event())])
    before = path.read_bytes()

    def broken(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("mlgym.events.log.scan", broken)
    with pytest.raises(EventLogError, match="cannot be opened: Input/output"):
        EventLog.open(path)
    assert path.read_bytes() == before
    assert not has_writer(path)
    monkeypatch.undo()
    assert len(list(read_log(path))) == 1


def test_append_unsynced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the file when the call returns, and on the disk after `sync`, which does nothing without new ones."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    path = tmp_path / "event_storage.log"
    producer = Producer()
    with EventLog.open(path) as log:
        synced.clear()
        for number in range(3):
            event = producer.event(log_event(str(number)))
            log.append_unsynced(encode(event), (producer.name, number))
            assert messages(path) == [str(each) for each in range(number + 1)]
        assert synced == []
        for _ in range(2):
            log.sync()
        assert synced == [path.stat().st_ino]
        assert log.append([producer.event(log_event("3"))]) == [3]
        log.sync()
        assert len(synced) == 2
    assert messages(path) == ["0", "1", "2", "3"]


def test_append_unsynced_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a line is taken back, the error is told, and the next one goes on behind the last whole line."""
    path = tmp_path / "event_storage.log"
    producer, real = Producer(), os.write

    def write_half(descriptor: int, data: bytes) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[: len(data) - 40])

    with EventLog.open(path) as log:
        log.append_unsynced(encode(producer.event(log_event("0"))), (producer.name, 0))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write_half)
            with pytest.raises(EventLogError, match="No space left"):
                log.append_unsynced(encode(producer.event(log_event("1"))), (producer.name, 1))
        assert messages(path) == ["0"]
        log.append_unsynced(encode(producer.event(log_event("2"))), (producer.name, 2))
    assert messages(path) == ["0", "2"]
