"""A preload that waits for the ends of all ranks once one has failed, however long they take on a busy machine."""

from __future__ import annotations

from mlgym.execution.group import local

assert hasattr(local, "_SETTLE_S")
local._SETTLE_S = 100.0  # type: ignore[misc]  # a constant otherwise
