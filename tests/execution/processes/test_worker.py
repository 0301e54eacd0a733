"""What the fork server works out for its workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgym.execution.processes.worker import warm_up


@pytest.mark.slow
def test_after_a_warm_up_building_makes_no_new_validators(tmp_path: Path) -> None:
    """What the fork server works out once, no child works out again."""
    from mlgym.config import RunFacts, build, check, load, resolve
    from mlgym.config.adapters import _cached_adapter

    config = {
        "version": 1,
        "extends": "preset/classification",
        "components": {
            "data": {"use": "digits"},
            "model": {"use": "mlp", "hidden": [8]},
            "optimizer": {"use": "adam", "model": "$model", "lr": 0.1},
        },
    }
    resolved = resolve(check(load(config))[0].config)
    _cached_adapter.cache_clear()
    warm_up(resolved)
    before = _cached_adapter.cache_info().misses
    assert before > 20
    build(resolved, RunFacts(dir=str(tmp_path)))
    assert _cached_adapter.cache_info().misses == before
