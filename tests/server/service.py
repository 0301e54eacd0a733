"""A service as a process of its own, on a free port of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
import psutil

REST: Final = ("mlgym.server.rest_service", "--event_storage_path")
ALL: Final = ("mlgym", "board", "--storage")
"""Websocket, REST and board in one."""


class Service:
    """A running service; ends with its `with` block.

    Args:
        storage: its storage folder.
        port: 0 for any that is free.
        program: its module and arguments, up to the storage folder.
        options: further arguments.
        environment: further variables.
    """

    def __init__(
        self,
        storage: Path,
        port: int = 0,
        *,
        program: Sequence[str] = REST,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.storage = storage
        self.port = port or free_port()
        self._command = [sys.executable, "-m", *program, str(storage), "--port", str(self.port), *options]
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True, env=self._environment)
        give_up_at = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"{self.url}/api/v1/health", trust_env=False)
                return
            except httpx.TransportError:
                assert self._process.poll() is None, self._process.communicate()
                assert time.monotonic() < give_up_at, "the service did not start"
                time.sleep(0.02)

    def send_signal(self, signum: int) -> None:
        """Sends a signal such as SIGSTOP, after which it is still there."""
        assert self._process is not None
        self._process.send_signal(signum)

    def pause(self) -> None:
        """Stops it until it gets SIGCONT; it does nothing any more when this returns."""
        self.send_signal(signal.SIGSTOP)
        assert self._process is not None
        process = psutil.Process(self._process.pid)
        while process.status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)

    def stop(self, signum: int = signal.SIGTERM) -> tuple[int, str]:
        """Ends it and gives its exit code and what it said."""
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(signum)
        _, said = process.communicate(timeout=120)
        return process.returncode, said

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop(signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
