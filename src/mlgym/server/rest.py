"""The REST service as an ASGI app: which routes there are, and the largest body that each of them takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from mlgym.server.api.experiment_routes import experiment_routes
from mlgym.server.api.models.base import ErrorAnswer
from mlgym.server.api.parameters import ERRORS
from mlgym.server.api.reads import Reads
from mlgym.server.api.run_routes import run_routes
from mlgym.server.change_routes import change_routes
from mlgym.server.event_routes import event_routes
from mlgym.server.file_routes import file_routes
from mlgym.server.guard import OLD_WORDS, SOCKET_PATH
from mlgym.server.limits import Limits
from mlgym.server.notes_log import NotesLog
from mlgym.server.old_routes import old_routes
from mlgym.server.refusal import add_error_handlers
from mlgym.server.store import HubStore
from mlgym.server.trash import Trash
from mlgym.server.uploads import Uploads

API_PREFIX: Final = "/api/v1"
FIRST_WORDS: Final = frozenset({"api", *OLD_WORDS})
"""What the paths of routes begin with."""
_VERSION: Final = version("mlgym")


_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    **ERRORS,
    401: {"model": ErrorAnswer, "description": "a token is missing, or is wrong"},
    409: {"model": ErrorAnswer, "description": "something else is there, or somebody else is at it"},
    413: {"model": ErrorAnswer, "description": "more than this hub takes"},
}


class OldError(BaseModel):
    """An error of the older routes."""

    detail: str


class Health(BaseModel):
    """That the service answers, and which version it is."""

    status: str = "ok"
    version: str = _VERSION


def rest_app(store: HubStore, notes: NotesLog, trash: Trash, reads: Reads, limits: Limits) -> FastAPI:
    """Gives the REST routes over a store, without a guard before them (`application.create_app` has one).

    Args:
        store: where runs are.
        notes: what people wrote on them.
        trash: the deleted ones.
        reads: answers what is asked about runs.
        limits: what a request may cost.
    """
    app = FastAPI(
        title="MLgym hub",
        version=_VERSION,
        openapi_url=f"{API_PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_nothing,
    )
    routers = [
        _service_routes(),
        event_routes(store),
        file_routes(store, Uploads(store, limits.upload_bytes)),
        change_routes(store, notes, trash),
        run_routes(reads),
        experiment_routes(reads),
    ]
    for router in routers:  # side by side, since each level of routers costs time at the start
        app.include_router(router, prefix=API_PREFIX, responses=_ERRORS)
    app.include_router(old_routes(store, reads), responses={"4XX": {"model": OldError}})
    add_error_handlers(app)
    return app


def largest_body(limits: Limits, method: str, path: str) -> int:
    """Gives the largest body, in bytes, that a method and path take."""
    if path.startswith(API_PREFIX):
        if method == "PATCH" and "/uploads/" in path:
            return limits.upload_bytes
        return limits.events_bytes if method == "POST" and path.endswith("/events") else limits.body_bytes
    if path.startswith(SOCKET_PATH):
        return limits.message_bytes
    return limits.upload_bytes if method == "POST" and path.startswith("/checkpoints/") else limits.body_bytes


def _service_routes() -> APIRouter:
    routes = APIRouter()

    @routes.get("/health")
    def health() -> Health:
        """That the service answers."""
        return Health()

    return routes


@asynccontextmanager
async def _nothing(app: FastAPI) -> AsyncIterator[None]:
    yield  # what starts and ends with a service is the application's
