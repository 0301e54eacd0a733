"""Executors of these tests: fork servers that preload nothing heavy, one of them shared where a test spoils nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlgym.execution.processes import ProcessExecutor
from mlgym.execution.server_process import ServerSettings
from tests.execution.handlers import Keeping

LIGHT = ServerSettings(preload=("tests.execution.jobs",), preload_if_installed=())


class Processes:
    """An executor with the handler that keeps what it tells."""

    def __init__(self, settings: ServerSettings = LIGHT, capacity: int = 4) -> None:
        self.handler = Keeping()
        self.executor = ProcessExecutor(self.handler, capacity=capacity, settings=settings)


@pytest.fixture
def processes() -> Iterator[Processes]:
    """A process executor."""
    made = Processes()
    yield made
    made.executor.close()
