"""The hub's services: what receives runs from other machines, keeps them, and hands them out again."""

from mlgym.server.application import create_app
from mlgym.server.guard import Door, Limits

__all__ = ["Door", "Limits", "create_app"]
