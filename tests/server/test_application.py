"""Which parts a service has: REST, sockets and board, alone and together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlgym.server import create_app
from mlgym.server.board import Board

POLL = "/socket.io/?EIO=4&transport=polling"


def statuses(app: Any) -> dict[str, int]:
    async def ask() -> dict[str, int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return {path: (await client.get(path)).status_code for path in ("/", "/api/v1/health", POLL)}

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"rest": True}, [404, 200, 404]),
        ({"sockets": True}, [404, 404, 200]),
        ({"board": Board()}, [200, 404, 404]),
        ({"rest": True, "sockets": True}, [404, 200, 200]),
        ({"rest": True, "sockets": True, "board": Board()}, [200, 200, 200]),
        ({}, [404, 404, 404]),
    ],
    ids=["REST", "sockets", "board", "hub", "all", "none"],
)
def test_parts(tmp_path: Path, parts: dict[str, Any], expected: list[int]) -> None:
    """A service answers for the parts that it has, and says of the rest that it is not there."""
    assert list(statuses(create_app(tmp_path, **parts)).values()) == expected


def test_a_board_alone_needs_no_storage() -> None:
    """`ml_board` is a page and nothing else: it makes no folder and reads none."""
    assert list(statuses(create_app(None, board=Board())).values()) == [200, 404, 404]


def test_the_storage_folder_is_made(tmp_path: Path) -> None:
    """A service on a new folder makes it; nothing else is in it before something happens."""
    create_app(tmp_path / "a" / "b", rest=True, sockets=True)
    assert list((tmp_path / "a" / "b").iterdir()) == []
