"""Executors of these tests: fork servers that preload nothing heavy, one of them shared where a test spoils nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlgym.execution.processes.executor import ProcessExecutor
from mlgym.execution.processes.server_process import ServerSettings
from tests.execution.handlers import Keeping

LIGHT = ServerSettings(preload=("tests.execution.jobs",), preload_if_installed=())


class Processes:
    """An executor with the handler that keeps what it tells."""

    def __init__(self, settings: ServerSettings = LIGHT, capacity: int = 4) -> None:
        self.handler = Keeping()
        self.executor = ProcessExecutor(self.handler, capacity=capacity, settings=settings)


@pytest.fixture(scope="session")
def shared_processes() -> Iterator[Processes]:
    """One executor for all tests that leave its server whole."""
    made = Processes()
    yield made
    made.executor.close()


@pytest.fixture
def processes(shared_processes: Processes) -> Processes:
    """The shared executor, with a handler that knows nothing yet."""
    shared_processes.handler.forget()
    return shared_processes


@pytest.fixture
def own_processes() -> Iterator[Processes]:
    """An executor for one test alone."""
    made = Processes()
    yield made
    made.executor.close()
