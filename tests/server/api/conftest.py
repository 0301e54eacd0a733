"""The run that most queries are about."""

from __future__ import annotations

import pytest

from tests.server.projection.logs import RUN_ID, Recorder, write_run
from tests.server.service import Service


@pytest.fixture(scope="module")
def run(service: Service) -> Recorder:
    """A run whose log holds everything."""
    return write_run(service.storage / RUN_ID / "event_storage.log")
