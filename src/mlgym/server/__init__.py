"""The hub's services: what receives runs from other machines, keeps them, and hands them out again."""

from mlgym.server.guard import Limits
from mlgym.server.rest import create_rest_app

__all__ = ["Limits", "create_rest_app"]
