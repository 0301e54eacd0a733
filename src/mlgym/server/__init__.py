"""The hub's services: what receives runs from other machines, keeps them, and hands them out again."""

from mlgym.server.application import create_app
from mlgym.server.door import Door
from mlgym.server.limits import Limits

__all__ = ["Door", "Limits", "create_app"]
