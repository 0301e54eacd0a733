"""Every exception that MLgym raises on purpose.

Subclasses keep the facts as attributes; the text says what is wrong, where, what was expected and what to do.
The module imports nothing of the project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MlgymError(Exception):
    """Base of all errors that a user can act on; the command line prints them without a traceback."""


class RegistryError(MlgymError):
    """A component cannot be registered or found."""


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong with a config.

    Args:
        place: where, as a reader finds it: `mnist.yml:16:5` or ``command line `optimizer.lr=x` ``.
        path: key path within the config, such as `components.loaders.batch_size`; empty for the whole file.
        message: what is wrong, what was expected, the nearest valid name.
        sort_key: (file order, line, column), so that faults are shown in reading order.
    """

    sort_key: tuple[int, int, int]
    place: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self.message) if part)


class ConfigError(MlgymError):
    """A config that cannot be used; carries every fault found, in reading order."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = sorted(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class DataError(MlgymError):
    """Data that cannot be loaded, downloaded or verified."""


class TrainingError(MlgymError):
    """A model, loss, metric or loader that does not fit the others."""


class EventLogError(MlgymError):
    """An event log that cannot be opened or written."""


class LogInUseError(EventLogError):
    """An event log that somebody else writes; `writer` names the process, such as `process 4967`."""

    def __init__(self, path: object, writer: str) -> None:
        self.writer = writer
        super().__init__(f"`{path}` is being written by {writer}")


class RunError(MlgymError):
    """A run that cannot be found, opened or started."""


class RankFailedError(RunError):
    """An experiment on several devices failed because one of its processes did.

    Args:
        message: which one, and what it says.
        stacktrace: the traceback in that process; None where it left none.
        exit_signal: the signal that ended it, such as `SIGKILL`; None where none did.
        log_tail: the last lines that it printed.
    """

    def __init__(
        self, message: str, *, stacktrace: str | None, exit_signal: str | None, log_tail: Sequence[str]
    ) -> None:
        self.stacktrace = stacktrace
        self.exit_signal = exit_signal
        self.log_tail = list(log_tail)
        super().__init__(message)


class HubError(MlgymError):
    """A hub that cannot be reached, or that refuses what it is asked.

    Args:
        message: what is wrong.
        status: of HTTP; None where it did not answer.
        code: the hub's word for the reason; empty where it gave none.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str = "") -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class EventRefusedError(HubError):
    """A hub will never take one of the events it was sent, and has taken none of them; `index` says which one it is."""

    def __init__(self, message: str, index: int) -> None:
        self.index = index
        super().__init__(message, code="invalid_event")


class PlaceError(MlgymError):
    """A place for checkpoints that cannot be one, cannot be reached, or has something else than was sent there.

    Args:
        message: what is wrong.
        is_damage: what is there, or was to go there, is not what its manifest says; trying again does not help.
    """

    def __init__(self, message: str, *, is_damage: bool = False) -> None:
        self.is_damage = is_damage
        super().__init__(message)


class InvalidNameError(MlgymError):
    """A text that may not become part of a path, such as a run id with a slash in it."""


class Interrupted(BaseException):
    """The run was asked to stop; raised at a step boundary, so it is no `Exception` that user code would swallow."""
