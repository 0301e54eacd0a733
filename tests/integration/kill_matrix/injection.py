"""Kills a process at the n-th thing that it does to its checkpoints or to its training, without changing either.

The calls to the operating system that change a file of a checkpoint are counted, so that no phase of a write can be
forgotten: what is not known by name would show as a phase of its own. Each thread counts for itself, which makes the
numbers the same in every repeat.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from mlgym.training import checkpoint_writer, resumption, session
from mlgym.training.update import Update

Role = Literal["trainer", "writer"]

_HOLD_S: Final = 0.03


@dataclass(frozen=True, slots=True)
class Event:
    """One moment at which a process can be killed.

    Args:
        role: the thread.
        number: of the moment in that thread, from 0.
        phase: what is about to happen.
        file: the file that is written; empty else.
        after_checkpoint: whether one stood before; beside training that may be another time otherwise.
    """

    role: Role
    number: int
    phase: str
    file: str = ""
    after_checkpoint: bool = False


@dataclass(frozen=True, slots=True)
class Kill:
    """When a process kills itself.

    Args:
        role: the thread.
        number: of the moment.
        held: whether the writer waits for training to do something before; so that it is killed while both are busy.
    """

    role: Role
    number: int
    held: bool = False


class Injector:
    """Counts the moments of a process, and ends it at one of them.

    Args:
        folder: the checkpoints' folder.
        kill: the moment; None to list them all.
        mark: an empty file that is made once a checkpoint stands, for who looks at the end.
    """

    def __init__(self, folder: Path, kill: Kill | None, mark: Path) -> None:
        self.events: list[Event] = []
        self._folder = str(folder)
        self._kill = kill
        self._counts: dict[Role, int] = {"trainer": 0, "writer": 0}
        self._paths: dict[int, str] = {}
        self._context = ""
        self._mark = mark
        self._close = os.close
        self._write = os.write

    def install(self) -> None:
        """Wraps what is counted; for a process that ends soon, since nothing is put back."""
        self._wrap_files()
        self._wrap_names()
        self._wrap_training()

    def _wrap_files(self) -> None:
        real_open, real_fsync = os.open, os.fsync

        def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            where = self._place(path, dir_fd)
            if where is not None and flags & os.O_CREAT:
                self._moment(f"before the {_kind(where)}")
            descriptor = real_open(path, flags, mode, dir_fd=dir_fd)
            if where is not None:
                self._paths[descriptor] = where
            return descriptor

        def write(descriptor: int, content: Any) -> int:
            where = self._paths.get(descriptor)
            if where is not None:
                self._moment(f"{_kind(where)}: half written", where, lambda: self._write_half(descriptor, content))
            return self._write(descriptor, content)

        def fsync(descriptor: int) -> None:
            where = self._paths.get(descriptor)
            if where is not None:
                self._moment(_sync_phase(where, self._folder))
            real_fsync(descriptor)

        def close(descriptor: int) -> None:
            self._paths.pop(descriptor, None)
            self._close(descriptor)

        _replace(os, open=open_, write=write, fsync=fsync, close=close)

    def _write_half(self, descriptor: int, content: Any) -> None:
        half = memoryview(content)[: max(1, len(content) // 2)]
        self._write(descriptor, half)

    def _wrap_names(self) -> None:
        real_mkdir, real_rename, real_unlink, real_rmdir = os.mkdir, os.rename, os.unlink, os.rmdir

        def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
            where = self._place(path, dir_fd)
            if where is not None:
                is_whole = where == self._folder
                self._moment("before the first checkpoint's folder" if is_whole else "buffer copied, nothing written")
            real_mkdir(path, mode, dir_fd=dir_fd)

        def rename(source: Any, target: Any, **folders: Any) -> None:
            where = self._place(source, None)
            if where is not None:
                publishes = where.endswith(".tmp")
                self._moment("before the rename" if publishes else "after the rename, before pruning")
                real_rename(source, target, **folders)
                if publishes:
                    self._mark.touch()
            else:
                real_rename(source, target, **folders)

        def unlink(path: Any, *, dir_fd: int | None = None) -> None:
            if self._place(path, dir_fd) is not None:
                self._moment("while pruning")
            real_unlink(path, dir_fd=dir_fd)

        def rmdir(path: Any, *, dir_fd: int | None = None) -> None:
            if self._place(path, dir_fd) is not None:
                self._moment("while pruning")
            real_rmdir(path, dir_fd=dir_fd)

        _replace(os, mkdir=mkdir, rename=rename, unlink=unlink, rmdir=rmdir)

    def _wrap_training(self) -> None:
        self._wrap(Update, "apply", before="step: before the update", after="step boundary")
        self._wrap(session.Session, "_evaluate", before="before the evaluation", after="after the evaluation")
        self._wrap(checkpoint_writer._Copies, "of", before="before the copy", after=None)
        self._wrap(checkpoint_writer._Copies, "_copied", before=None, after="buffer half copied")
        self._within(resumption, "tidy", "tidying of a resume")
        self._within(resumption.Resumption, "settle", "settling of a resume")

    def _wrap(self, holder: Any, name: str, *, before: str | None, after: str | None) -> None:
        real = getattr(holder, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if before is not None:
                self._moment(before)
            found = real(*arguments, **named)
            if after is not None:
                self._moment(after)
            return found

        setattr(holder, name, call)

    def _within(self, holder: Any, name: str, context: str) -> None:
        real = getattr(holder, name)

        def call(*arguments: Any, **named: Any) -> Any:
            with self._in(context):
                return real(*arguments, **named)

        setattr(holder, name, call)

    @contextmanager
    def _in(self, context: str) -> Iterator[None]:
        self._context = context
        yield
        self._context = ""

    def _place(self, path: Any, folder: int | None) -> str | None:
        """Gives where a path lies if that is the checkpoints' folder or in it."""
        if folder is not None:
            known = self._paths.get(folder)
            return None if known is None else f"{known}/{os.fspath(path)}"
        text = os.fspath(path)
        inside = isinstance(text, str) and (text == self._folder or text.startswith(f"{self._folder}/"))
        return text if inside else None

    def _moment(self, phase: str, file: str = "", half: Callable[[], None] | None = None) -> None:
        role: Role = "writer" if threading.current_thread().name == "checkpoint" else "trainer"
        number = self._counts[role]
        self._counts[role] = number + 1
        if self._kill is None:
            phase = f"{self._context}: {phase}" if self._context else phase
            self.events.append(Event(role, number, phase, file, self._mark.exists()))
        elif (role, number) == (self._kill.role, self._kill.number):
            if half is not None:
                half()
            if self._kill.held:
                self._hold()
            die()

    def _hold(self) -> None:
        """Waits until training went on, or cannot."""
        before, until = self._counts["trainer"], time.monotonic() + _HOLD_S
        while self._counts["trainer"] == before and time.monotonic() < until:
            time.sleep(0.0005)


def _replace(holder: Any, **calls: Callable[..., Any]) -> None:
    for name, call in calls.items():
        setattr(holder, name, call)


def die() -> NoReturn:
    """Ends this process as the kernel does when memory is short: at once."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def _kind(where: str) -> str:
    return "manifest" if where.endswith("manifest.json") else "temporary file"


def _sync_phase(where: str, folder: str) -> str:
    if where == folder:
        return "after the rename, before its sync"
    return (
        "manifest written, before the folder's sync" if where.endswith(".tmp") else f"{_kind(where)}: before its sync"
    )
