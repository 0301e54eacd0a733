"""SIGKILL and power cuts of the hub in a bounded form; `benchmarks/chaos_hub.py` does it at length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.hub_chaos import Chaos, Plan
from tests.server.lossy_disk import NoLossyDiskError, lossy_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A storage folder on a disk that loses what was not synced."""
    try:
        with lossy_disk(tmp_path / "disk") as storage:
            yield storage
    except NoLossyDiskError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_kills(tmp_path: Path) -> None:
    """With SIGKILL in the middle of sending, nothing acknowledged is lost, doubled or out of order, for nobody."""
    outcome = Chaos(Plan(num_events=6000, num_kills=3), tmp_path).run()
    assert outcome.is_clean, outcome
    assert outcome.num_logged == 6000
    assert outcome.num_sent > 6000  # otherwise no kill fell into the middle of anything


@pytest.mark.slow
def test_control_without_identity(tmp_path: Path) -> None:
    """Without producer and number, what was sent again is stored again."""
    outcome = Chaos(Plan(num_events=6000, num_kills=3, num_subscribers=0, identified=False), tmp_path).run()
    assert outcome.doubled


@pytest.mark.slow
def test_power_cuts(disk: Path) -> None:
    """The same where the power goes, and with it all that was not synced."""
    outcome = Chaos(Plan(num_events=3000, num_kills=2, cuts_power=True), disk).run()
    assert outcome.is_clean, outcome
    assert outcome.num_logged == 3000


@pytest.mark.slow
def test_control_without_fsync(disk: Path) -> None:
    """Without waiting for the disk, acknowledged events are lost."""
    plan = Plan(num_events=3000, num_kills=2, num_subscribers=0, cuts_power=True, options=["--without_fsync"])
    assert Chaos(plan, disk).run().lost
