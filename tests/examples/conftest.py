"""What tests of examples share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def path_as_before() -> Iterator[None]:
    """Takes the folders of examples off the path again."""
    before = list(sys.path)
    yield
    sys.path[:] = before
