"""Pipes whose reader has left, as in `mlgym show | head`: that is no failure, and no other exit code."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """Lets the body print to readers who may leave: what nobody reads ends the body and goes nowhere.

    Raises:
        BrokenPipeError: of another pipe than stdout or stderr.
    """
    try:
        yield
    except BrokenPipeError:
        if not _discard_unread():
            raise
    finally:
        # What a pipe is given is kept until there is more of it, or else until the interpreter ends and complains.
        _discard_unread()


def _discard_unread() -> bool:
    """Connects stdout and stderr to nowhere where their reader has left; says whether one had."""
    unread = [_is_unread(stream) for stream in (sys.stdout, sys.stderr)]  # both are looked at, in any case
    return any(unread)


def _is_unread(stream: TextIO) -> bool:
    with suppress(BrokenPipeError):
        stream.flush()
    try:
        descriptor = stream.fileno()
    except ValueError:  # no real file
        return False
    poller = select.poll()
    poller.register(descriptor, 0)
    if not any(events & (select.POLLERR | select.POLLHUP) for _, events in poller.poll(0)):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return True
