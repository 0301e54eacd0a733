"""Waiting for long logs without keeping a thread from other requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from mlgym.errors import MlgymError
from mlgym.server.api.reads import Reads
from mlgym.server.refusal import ending


def until_read(reads: Reads) -> Callable[[Request], Awaitable[None]]:
    """Gives a dependency that waits until the runs a request is about were read, where that takes long.

    Args:
        reads: the read side over a storage folder.
    """

    async def wait(request: Request) -> None:
        for run_id in dict.fromkeys(_runs_of(request)):
            reading = None
            with suppress(MlgymError, OSError):  # whoever answers says so, each in its own words
                reading = await run_in_threadpool(reads.reading, run_id)
            if reading is not None:
                await _end_of(reading)

    return wait


async def _end_of(reading: Future[None]) -> None:
    try:
        await asyncio.wrap_future(reading)
    except asyncio.CancelledError:  # a service that ends waits for a few seconds only
        raise ending() from None


def _runs_of(request: Request) -> Iterator[str]:
    if "run" in request.path_params:
        yield request.path_params["run"]
    if other := request.query_params.get("against"):
        yield other
    for side in ("a", "b"):
        run_id, slash, _ = request.query_params.get(side, "").partition("/")
        if slash:
            yield run_id
