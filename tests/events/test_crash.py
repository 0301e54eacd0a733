"""A writer that dies: at every call that touches a file, at random moments, under strace. Nothing confirmed is lost."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlgym.events import EventLog, Producer, read_torn
from mlgym.events.codec import is_sealed
from tests.events.samples import log_event, messages

WRITER = [sys.executable, "-m", "tests.events.writer"]
CALLS = ("open", "write", "pread", "fsync", "ftruncate", "rename", "replace", "unlink", "close")


class Countdown:
    """Kills this process at the n-th call of `os` that touches files, before it, after it, or within a write."""

    def __init__(self, num_calls: int, within: str) -> None:
        self._left = num_calls
        self._within = within
        for name in CALLS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            self._left -= 1
            if self._left:
                return real(*args, **kwargs)
            if self._within == "half" and name == "write":
                data = args[1]
                assert isinstance(data, bytes | memoryview)
                real(args[0], data[: len(data) // 2])
            elif self._within == "after":
                real(*args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        return call


def run_until_killed(work: Callable[[], None], num_calls: int, within: str) -> bool:
    """Runs `work` in a forked child that is killed at a call; False where it came to its end before."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            Countdown(num_calls, within)
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("within", ["before", "half", "after"])
def test_every_crash_point(tmp_path: Path, within: str) -> None:
    """Killed at every single call, from opening a torn log to closing it: nothing is lost, nothing is torn.

    The first session recovers a torn log and appends three groups. Whatever it had confirmed is there afterwards, in
    order; the torn tail is in the torn file or still in the log; and the log opens and goes on.
    """
    for number in range(1, 1000):
        path = tmp_path / str(number) / "event_storage.log"
        path.parent.mkdir()
        acks = path.with_name("acks")
        acks.write_bytes(b"")
        with EventLog.open(path) as log:
            log.append([Producer().encode(log_event("old"))])
        with path.open("ab") as file:
            file.write(b"torn tail")

        def work(path: Path = path, acks: Path = acks) -> None:
            with EventLog.open(path) as log, acks.open("ab", buffering=0) as confirmed:
                producer = Producer()
                for group in ("ab", "cd", "ef"):
                    log.append([producer.encode(log_event(name)) for name in group])
                    confirmed.write(group.encode())

        killed = run_until_killed(work, number, within)
        with EventLog.open(path) as log:
            log.append([Producer().encode(log_event("new"))])
        found = messages(path)
        assert (found[0], found[-1]) == ("old", "new")
        stored = "".join(found[1:-1])
        assert stored.startswith(acks.read_text())
        assert "abcdef".startswith(stored)
        assert next(read_torn(path)).data == b"torn tail"
        assert {entry.name for entry in path.parent.iterdir()} - {".event_storage.log.torn"} == {
            "acks",
            "event_storage.log",
            "event_storage.log.torn",
        }
        if not killed:
            return
    raise AssertionError("the work never came to its end")


def test_control_buffered_writer_loses_confirmed_events(tmp_path: Path) -> None:
    """The same kill loses what a plain buffered file had taken, so that the test above can fail."""
    path = tmp_path / "log"

    def work() -> None:
        file = path.open("a")
        for name in "abc":
            file.write(f'{{"message":"{name}"}}\n')
            os.write(acks, name.encode())

    acks = os.open(tmp_path / "acks", os.O_WRONLY | os.O_CREAT)
    assert run_until_killed(work, 3, "after")
    os.close(acks)
    assert (tmp_path / "acks").read_text() == "abc"
    assert path.read_text() == ""


def confirmed_numbers(output: str) -> list[str]:
    whole, _, _ = output.rpartition("\n")
    return whole.split("\n") if whole else []


def check_after_death(path: Path, confirmed: list[str]) -> int:
    """Checks that a log holds 0, 1, 2 ... at least up to what was confirmed; gives how many."""
    with EventLog.open(path) as log:
        num_events = log.num_events
    found = messages(path)
    assert found == [str(number) for number in range(num_events)]
    assert all(is_sealed(line) for line in path.read_bytes().splitlines(keepends=True))
    assert not confirmed or int(confirmed[-1]) < num_events
    return num_events


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """SIGKILL at random, again and again on the same log: what was confirmed is there, and each event once."""
    path = tmp_path / "event_storage.log"
    rng = random.Random(2)
    num_events = 0
    for _ in range(6):
        process = subprocess.Popen([*WRITER, path, "1000000", "7"], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            first = process.stdout.readline()  # it is at work now
            time.sleep(rng.uniform(0, 0.05))
        finally:
            process.kill()
            rest, _ = process.communicate()
        grown = check_after_death(path, confirmed_numbers(first + rest))
        assert grown > num_events
        num_events = grown


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def strace(path: Path, inject: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs the writer with faults in its calls on the log file alone."""
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-P", str(path), "-e", f"inject={inject}", *WRITER, str(path)]
    path.touch()
    done = subprocess.run([*command, *args], capture_output=True, text=True, check=False, timeout=100)
    if "ptrace" in done.stderr and not done.stdout:
        pytest.skip(f"strace cannot trace here: {done.stderr.strip()[:200]}")
    return done


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_killed_by_strace(tmp_path: Path, call: str) -> None:
    """Killed from outside at a call on the log: what was confirmed before is there."""
    path = tmp_path / "event_storage.log"
    done = strace(path, f"{call}:signal=KILL:when=4", "50", "5")
    confirmed = confirmed_numbers(done.stdout)
    assert 5 <= len(confirmed) < 50
    check_after_death(path, confirmed)


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize(
    "inject",
    [
        pytest.param("write:error=ENOSPC:when=3+3", id="write ENOSPC"),
        pytest.param("write:error=EIO:when=2+2", id="write EIO"),
        pytest.param("write:error=EINTR:when=1+2", id="write EINTR"),
        # Each failure is followed by the fsync of opening again: an odd step, or the same call of each group fails.
        pytest.param("fsync:error=EIO:when=2+3", id="fsync EIO"),
        pytest.param("fsync:error=ENOSPC:when=3+5", id="fsync ENOSPC"),
    ],
)
def test_faults_from_strace(tmp_path: Path, inject: str) -> None:
    """With calls that keep failing in the kernel's name, all events arrive, each once, in order."""
    path = tmp_path / "event_storage.log"
    done = strace(path, inject, "60", "5")
    assert done.returncode == 0, done.stderr
    assert confirmed_numbers(done.stdout) == [str(number) for number in range(60)]
    assert check_after_death(path, ["59"]) == 60
    if "EINTR" not in inject:  # that one Python answers itself, by calling again
        assert os.strerror(getattr(errno, inject.split("error=")[1].split(":")[0])) in done.stderr


def test_lines_are_whole_at_any_moment(tmp_path: Path) -> None:
    """While a process writes, every line that ends in a newline is a JSON object, whenever one looks."""
    path = tmp_path / "event_storage.log"
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)  # it goes on only as it is read: what it does lasts
    process = subprocess.Popen([*WRITER, path, "20000", "50"], stdout=writing)
    os.close(writing)
    looks = []
    try:
        while os.read(reading, 2000):
            data = path.read_bytes()
            lines = data[: data.rfind(b"\n") + 1].splitlines()
            assert all(isinstance(json.loads(line), dict) for line in lines[-300:])
            looks.append(len(lines))
            time.sleep(0.01)
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
        os.close(reading)
    assert len(set(looks)) > 3
    assert len(messages(path)) == 20_000


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_tail_into_jq(tmp_path: Path) -> None:
    """`tail -f event_storage.log | jq` shows every event while it is written."""
    path = tmp_path / "event_storage.log"
    path.touch()
    tail = subprocess.Popen(["tail", "-n", "+1", "-f", path], stdout=subprocess.PIPE)
    jq = subprocess.Popen(
        ["jq", "--unbuffered", "-r", ".payload.message"], stdin=tail.stdout, stdout=subprocess.PIPE, text=True
    )
    writer = subprocess.Popen([*WRITER, path, "500", "20"], stdout=subprocess.DEVNULL)
    try:
        assert jq.stdout is not None
        seen = [jq.stdout.readline().strip() for _ in range(500)]
        assert writer.wait() == 0
        assert seen == [str(number) for number in range(500)]
    finally:
        writer.kill()
        writer.wait()
        tail.kill()
        tail.communicate()
        jq.communicate()
