"""The board's files: served as they were built, nothing else with them, under a strict policy."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from mlgym.server import create_app
from mlgym.server.board import Board

INDEX = '<!doctype html><meta property="csp-nonce" nonce="__CSP_NONCE__"><script src="assets/a-1b2c.js"></script>'


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "board"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "assets" / "a-1b2c.js").write_text("1")
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "__init__.py").write_text("")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


def get(board: Board, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(None, board=board))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(ask())


def test_files(built: Path) -> None:
    """Files come with their type; those with a hash in their name may be kept for ever, the page may not."""
    board = Board(built)
    script = get(board, "/assets/a-1b2c.js")
    assert (script.text, script.headers["Content-Type"].partition(";")[0]) == ("1", "text/javascript")
    assert "immutable" in script.headers["Cache-Control"]
    assert get(board, "/icon.svg").headers["Content-Type"].startswith("image/svg+xml")
    for path in ("/", "/index.html", "/?run_id=x"):
        page = get(board, path)
        assert page.headers["Content-Type"].startswith("text/html")
        assert page.headers["Cache-Control"] == "no-cache"


def test_packed(built: Path) -> None:
    """Who takes gzip gets it, as the file is now; who does not, does not."""
    board, script = Board(built), built / "assets" / "a-1b2c.js"
    for number, text in enumerate(("1;" * 5000, "2;" * 5000)):
        script.write_text(text)
        os.utime(script, ns=(number, number))
        packed = get(board, "/assets/a-1b2c.js", **{"Accept-Encoding": "gzip, br"})
        assert (packed.text, packed.headers["Content-Encoding"]) == (text, "gzip")
        assert int(packed.headers["Content-Length"]) < 500
        plain = get(board, "/assets/a-1b2c.js", **{"Accept-Encoding": "identity"})
        assert (plain.text, plain.headers.get("Content-Encoding")) == (text, None)


def test_policy(built: Path) -> None:
    """No inline script, no other origin but the services that were named; own inline styles carry a fresh nonce."""
    nonces = set()
    for _ in range(2):
        page = get(Board(built, connect_to=["http://127.0.0.1:5001", "ws://127.0.0.1:5001"]), "/")
        policy = page.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "connect-src 'self' http://127.0.0.1:5001 ws://127.0.0.1:5001;" in policy
        assert "frame-ancestors 'none'" in policy
        match = re.search(r"'nonce-([\w-]{20,})'", policy)
        assert match is not None
        assert f'nonce="{match[1]}"' in page.text
        nonces.add(match[1])
    assert len(nonces) == 2
    assert "connect-src 'self';" in get(Board(built), "/icon.svg").headers["Content-Security-Policy"]


def connect_to(board: Board, cookie: str, path: str = "/") -> str:
    """Gives where a page may connect to, besides its own origin."""
    policy = get(board, path, Cookie=cookie).headers["Content-Security-Policy"]
    match = re.search(r"connect-src 'self'([^;]*);", policy)
    assert match is not None
    return match[1].strip()


def test_origins_that_the_user_confirmed(built: Path) -> None:
    """They come as a cookie, and hold for the page and its worker, beside those that were named at the start."""
    board, named = Board(built), Board(built, connect_to=["http://127.0.0.1:5001", "ws://127.0.0.1:5001"])
    (built / "assets" / "worker-3d4e.js").write_text("2")
    cookie = "other=1; mlboard_origins=http%3A%2F%2F127.0.0.1%3A5001%20https%3A%2F%2Fhub.example"
    confirmed = "http://127.0.0.1:5001 ws://127.0.0.1:5001 https://hub.example wss://hub.example"
    assert connect_to(board, cookie) == connect_to(named, cookie) == confirmed
    assert connect_to(board, "mlboard_origins=http://[::1]:80") == "http://[::1]:80 ws://[::1]:80"
    board = Board(built)
    assert connect_to(board, cookie, "/assets/worker-3d4e.js") == confirmed
    # A worker has the policy of the answer that its file came with: none may be kept from before.
    assert get(board, "/assets/worker-3d4e.js").headers["Cache-Control"] == "no-cache"
    many = " ".join(f"http://h{number}" for number in range(20))
    assert len(connect_to(board, f"mlboard_origins={quote(many)}").split()) == 16


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "https:",
        "https://*",
        "https://*.example",
        "http://a;script-src *",
        "http://a'unsafe-inline'",
        "http://a, http://b",
        "http://a\nX-Header: 1",
        "http://user@a",
        "http://a/path",
        "javascript://a",
        "data:",
        "http://a" + "a" * 300,
    ],
)
def test_what_is_no_origin_opens_nothing(built: Path, text: str) -> None:
    """A cookie can only add origins, whatever it holds."""
    assert connect_to(Board(built), f"mlboard_origins={quote(text)}") in ("", "http://b ws://b")
    assert connect_to(Board(built), f"mlboard_origins={quote(text)}%20http://b") == "http://b ws://b"


@pytest.mark.parametrize(
    "path",
    [
        "/__init__.py",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets//a-1b2c.js",
        "/assets",
        "/assets/",
        "/%00",
        "/api",
        "/checkpoints/run/0",
        "/socket.io/",
    ],
)
def test_nothing_else(built: Path, path: str) -> None:
    """What was not built is not there, wherever it lies."""
    answer = get(Board(built), path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_links_are_no_files_of_the_board(built: Path) -> None:
    """A link out of the folder is not followed."""
    assert get(Board(built), "/link.txt").status_code == 404


def test_pages_of_its_own(built: Path) -> None:
    """A browser that asks for a page that only the board's script knows gets the board."""
    assert get(Board(built), "/runs/x", Accept="text/html,*/*").text.startswith("<!doctype html>")
    assert get(Board(built), "/runs/x", Accept="*/*").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_only_reading(built: Path, method: str) -> None:
    """A page takes nothing."""
    assert get(Board(built), "/", method).status_code == 405


def test_not_built(tmp_path: Path, built: Path) -> None:
    """Where the page was not built, a page says how to do so; once it is, it is served without a restart."""
    board = Board(tmp_path / "later")
    answer = get(board, "/")
    assert answer.status_code == 200
    assert "make board" in answer.text
    built.rename(tmp_path / "later")
    assert "csp-nonce" in get(board, "/").text
