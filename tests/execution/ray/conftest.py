"""One cluster for all tests of this folder: its head takes seconds to start, and more where the machine is busy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from tests.execution.ray.clusters import LoopbackCluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackCluster]:
    """The cluster, with at least two nodes that run anything."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mlgym[ray]'")
    with warnings.catch_warnings():
        # Ray leaves the files and processes of its nodes to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        made = LoopbackCluster(tmp_path_factory.mktemp("ray"))
        yield made
        made.close()
