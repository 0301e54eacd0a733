"""A preload that takes the protection against orphans away from ranks, and from the server that imports it."""

from __future__ import annotations

from mlgym.execution.group import rank
from tests.execution.unprotected import nothing

assert hasattr(rank, "die_with_parent")
rank.die_with_parent = nothing
