"""The REST service: configs, checkpoints and events of runs over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from mlgym.server.event_routes import event_routes
from mlgym.server.file_routes import file_routes
from mlgym.server.guard import LOOPBACK_NAMES, Guard, Limits
from mlgym.server.old_routes import old_routes
from mlgym.server.refusal import add_error_handlers
from mlgym.server.store import HubStore
from mlgym.server.uploads import Uploads, remove_stale

API_PREFIX: Final = "/api/v1"
_VERSION: Final = version("mlgym")
_SWEEP_EVERY_S: Final = 3600.0


class Health(BaseModel):
    """That the service answers, and which version it is."""

    status: str = "ok"
    version: str = _VERSION


def create_rest_app(
    storage: Path,
    limits: Limits | None = None,
    *,
    hosts: Collection[str] = LOOPBACK_NAMES,
    origins: Collection[str] = (),
) -> FastAPI:
    """Gives the service over a storage folder, as an ASGI app.

    Args:
        storage: the folder of all runs; made where it is missing.
        limits: what a request may cost.
        hosts: names under which the service may be called.
        origins: pages of other origins that may call it.
    """
    limits = limits or Limits()
    storage.mkdir(parents=True, exist_ok=True)
    store = HubStore(storage)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tidying = asyncio.create_task(_tidy(store, storage, limits))
        try:
            yield
        finally:
            tidying.cancel()
            with suppress(asyncio.CancelledError):
                await tidying
            store.logs.close_idle(0.0)

    app = FastAPI(
        title="MLgym hub",
        version=_VERSION,
        openapi_url=f"{API_PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    api = APIRouter(prefix=API_PREFIX)

    @api.get("/health")
    def health() -> Health:
        """That the service answers."""
        return Health()

    api.include_router(event_routes(store))
    api.include_router(file_routes(store, Uploads(store, limits.upload_bytes)))
    app.include_router(api)
    app.include_router(old_routes(store))
    add_error_handlers(app)
    app.add_middleware(
        Guard, limit_of=_limit_of(limits), wait_s=limits.wait_s, hosts=frozenset(hosts), origins=frozenset(origins)
    )
    return app


def _limit_of(limits: Limits) -> Callable[[str, str], int]:
    def limit_of(method: str, path: str) -> int:
        if path.startswith(API_PREFIX):
            if method == "PATCH":
                return limits.upload_bytes
            return limits.events_bytes if method == "POST" and path.endswith("/events") else limits.body_bytes
        return limits.upload_bytes if method == "POST" and path.startswith("/checkpoints/") else limits.body_bytes

    return limit_of


async def _tidy(store: HubStore, storage: Path, limits: Limits) -> None:
    """Closes logs that are not used and removes uploads that were given up, for as long as the service lives."""
    loop = asyncio.get_running_loop()
    next_sweep = loop.time()
    while True:
        await asyncio.to_thread(store.logs.close_idle, limits.idle_log_s)
        if loop.time() >= next_sweep:
            next_sweep = loop.time() + _SWEEP_EVERY_S
            await asyncio.to_thread(remove_stale, storage, limits.stale_upload_s)
        await asyncio.sleep(min(1.0, limits.idle_log_s))
