"""A fork server as its driver sees it: a child process, a channel to it, and what it prints."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from mlgym.execution.executor import Stream
from mlgym.execution.job import Exit
from mlgym.execution.launcher import python_command, worker_environment
from mlgym.execution.marked import end_all
from mlgym.execution.processes.channel import Channel, ChannelClosedError, Report, Request, Start

PRELOAD: Final = ("torch", "torch._dynamo", "mlgym.config", "mlgym.components", "mlgym.training")
"""What every experiment imports; the first optimizer imports `torch._dynamo`."""
PRELOAD_IF_INSTALLED: Final = ("torch.profiler._cupti_monitor",)
"""What PyTorch imports at the first update, where this version has it. What components import late is added for each
run: whatever the server holds, used or not, makes every fork and every end of a process dearer."""

_END_S: Final = 5.0
_END_DAEMONS_S: Final = 2.0
_FAMILY: Final = "MLGYM_PROCESS_FAMILY"
"""Tells everything that was started under one server from all else on the machine."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What a fork server starts with.

    Args:
        imports: the user's modules, imported before anything is forked.
        folder: where the user's modules are looked for first.
        main_script: the driver's script, where components are defined in it.
        threads: threads of one operation, >= 1.
        preload: modules that must be there.
        preload_if_installed: modules that may be missing.
        environment: environment variables to start from.
        example: the config of an experiment like those to come; what is worked out about its components once is there
            for all.
    """

    imports: Sequence[str] = ()
    folder: Path | None = None
    main_script: Path | None = None
    threads: int = 1
    preload: Sequence[str] = PRELOAD
    preload_if_installed: Sequence[str] = PRELOAD_IF_INSTALLED
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    example: dict[str, Any] | None = None


class ServerProcess:
    """A running fork server.

    Attributes:
        channel: takes requests, gives reports.
        ready: whether it has imported everything; set by whoever reads the channel.
        importing: the module that it imports or imported last.
        ended: how it ended, once `end` was called.
    """

    def __init__(self, settings: ServerSettings) -> None:
        """Starts it; it imports while this process goes on."""
        self.ready = False
        self.ended: str | None = None
        self.importing = "mlgym.execution.processes.forkserver"
        self._family = uuid.uuid4().hex
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = python_command("mlgym.execution.processes.forkserver", str(theirs.fileno()), str(os.getpid()))
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env=worker_environment(settings.threads, {**settings.environment, _FAMILY: self._family}),
                start_new_session=True,
            )
        self.channel: Channel[Request, Report] = Channel(ours, Report)
        for pipe in self.outputs.values():
            os.set_blocking(pipe.fileno(), False)
        with suppress(ChannelClosedError):  # the reader of the channel finds out, and why
            self.channel.send(
                Start(
                    sys_path=[str(Path(entry).absolute()) for entry in sys.path],
                    preload=list(settings.preload),
                    preload_if_installed=list(settings.preload_if_installed),
                    imports=list(settings.imports),
                    folder=str(settings.folder.absolute()) if settings.folder else None,
                    main_script=str(settings.main_script) if settings.main_script else None,
                    example=settings.example,
                )
            )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def outputs(self) -> dict[Stream, IO[bytes]]:
        """The read ends of what it prints, non-blocking; workers have their own."""
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
        return {"stdout": stdout, "stderr": stderr}

    def end(self) -> str:
        """Hangs up, waits for the process and all its workers to end, and says how it did; `outputs` stay open.

        Returns:
            The second half of a sentence, such as `was killed by SIGKILL`.
        """
        self.channel.close()
        # While it imports it does not listen, and it has no workers yet that it would have to end.
        if not self.ready and self._process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
            self._process.kill()
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code:
            # It did not end in its own way, with all that it had started: daemons of its workers are nobody's children.
            end_all(f"{_FAMILY}={self._family}".encode(), patience_s=_END_DAEMONS_S)
        self.ended = Exit(signal=-code).describe() if code < 0 else f"exited with code {code}"
        return self.ended
