"""The REST service as a process of its own, on a free port of this machine."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx


class Service:
    """A running `ml_board_rest_endpoint`; ends with its `with` block.

    Args:
        storage: its storage folder.
        port: 0 for any that is free.
    """

    def __init__(self, storage: Path, port: int = 0) -> None:
        self.storage = storage
        self.port = port or free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        command = [sys.executable, "-m", "mlgym.server.rest_service", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [*command, "--event_storage_path", str(self.storage)], stderr=subprocess.PIPE, text=True
        )
        give_up_at = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{self.url}/api/v1/health").raise_for_status()
                return
            except httpx.TransportError:
                assert self._process.poll() is None, self._process.communicate()
                assert time.monotonic() < give_up_at, "the service did not start"
                time.sleep(0.02)

    def stop(self, signum: int = signal.SIGTERM) -> tuple[int, str]:
        """Ends it and gives its exit code and what it said."""
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(signum)
        _, said = process.communicate(timeout=30)
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
