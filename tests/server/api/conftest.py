"""One service for all files of this folder, and the run that most queries are about."""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.server.projection.logs import RUN_ID, Recorder, write_run
from tests.server.service import Service


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("hub") / "storage") as running:
        yield running


@pytest.fixture(scope="package")
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture(scope="package")
def written_run(service: Service) -> Recorder:
    """A run whose log holds everything."""
    return write_run(service.storage / RUN_ID / "event_storage.log")


@pytest.fixture
def run(written_run: Recorder) -> Recorder:
    """That run, which goes on, however long the tests before it took: its log was written a moment ago."""
    os.utime(written_run.path)
    return written_run
