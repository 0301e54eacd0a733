"""MLboard's files, served as they were built: found once, so that no request can name another file."""

from __future__ import annotations

import gzip
import mimetypes
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

FOLDER: Final = Path(__file__).parents[1] / "board"
_INDEX: Final = "index.html"
_NONCE: Final = "__CSP_NONCE__"
"""Stands in the page where its own inline styles say that they are its own."""
_TEXTS: Final = (".js", ".css", ".svg", ".json", ".map")
_CONFIRMED: Final = "mlboard_origins"
"""Cookie with the other origins that the user allowed the page to talk to; the page sets it after asking."""
_ORIGIN: Final = re.compile(
    r"(https?)://(?:[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?"
)
_MAX_CONFIRMED: Final = 8
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>MLboard</title></head><body>
<h1>MLboard is not built</h1>
<p>The services run, but the page is missing: this MLgym was installed from its sources, without Node.</p>
<p>In the source tree, with Node 20 or newer:</p>
<pre>make board</pre>
<p>Then load this page again. Until then <code>mlgym runs</code>, <code>mlgym show</code> and
<code>mlgym report</code> show the same in a terminal, and <a href="/api/v1/openapi.json">the REST service</a>
answers.</p>
</body></html>
"""


class Board:
    """An ASGI app with the files of the board."""

    def __init__(self, folder: Path = FOLDER, *, connect_to: Sequence[str] = ()) -> None:
        """Finds the files.

        Args:
            folder: where they were built.
            connect_to: other origins that the page may talk to, such as `http://127.0.0.1:5001`.
        """
        self._folder = folder
        self._connect_to = connect_to
        self._files = _found(folder)
        self._gzips: dict[tuple[Path, int], bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        await self._response(scope)(scope, receive, send)

    def _response(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("this is a page\n", 405, {"Allow": "GET, HEAD"})
        name = scope["path"].removeprefix("/") or _INDEX
        if name == _INDEX:
            self._files = _found(self._folder)  # it may have been built, or built anew, meanwhile
        file = self._files.get(name)
        if name == _INDEX or (file is None and _is_page(scope)):
            return self._page(scope)
        if file is None:
            return PlainTextResponse("there is no such page\n", 404, self._headers(scope))
        headers = self._headers(scope, _FOR_EVER if _is_the_same_for_ever(name) else "no-cache")
        if file.suffix not in _TEXTS or "gzip" not in Headers(scope=scope).get("accept-encoding", ""):
            return FileResponse(file, media_type=_media_type(file), headers=headers)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding, Cookie"}
        return Response(self._packed(file), media_type=_media_type(file), headers=headers)

    def _packed(self, file: Path) -> bytes:
        """Gives a file as gzip, as the page often comes through a tunnel; each is packed once."""
        key = (file, file.stat().st_mtime_ns)
        if key not in self._gzips:
            self._gzips = {known: data for known, data in self._gzips.items() if known[0] != file}
            self._gzips[key] = gzip.compress(file.read_bytes(), 6)
        return self._gzips[key]

    def _page(self, scope: Scope) -> Response:
        index = self._files.get(_INDEX)
        if index is None:
            return HTMLResponse(_NOT_BUILT, headers=self._headers(scope))
        nonce = secrets.token_urlsafe(16)
        text = index.read_text(encoding="utf-8").replace(_NONCE, nonce)
        return HTMLResponse(text, headers=self._headers(scope, nonce=nonce))

    def _headers(self, scope: Scope, caching: str = "no-cache", *, nonce: str | None = None) -> dict[str, str]:
        connect_to = " ".join(dict.fromkeys(("'self'", *self._connect_to, *_confirmed(scope))))
        styles = "'self'" if nonce is None else f"'self' 'nonce-{nonce}'"
        policy = (
            f"default-src 'none'; script-src 'self'; style-src {styles}; img-src 'self' data: blob:; font-src 'self'; "
            f"connect-src {connect_to}; worker-src 'self'; manifest-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return {"Content-Security-Policy": policy, "Cache-Control": caching, "Vary": "Cookie"}


def _found(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in (folder.rglob("*") if folder.is_dir() else ())
        if path.is_file() and not path.is_symlink() and path.suffix != ".py"
    }


def _confirmed(scope: Scope) -> Iterator[str]:
    """Yields the origins that the user allowed, each for requests and for sockets; what is no origin is passed over."""
    cookies = cookie_parser(Headers(scope=scope).get("cookie", ""))
    for origin in unquote(cookies.get(_CONFIRMED, "")).split(" ")[:_MAX_CONFIRMED]:
        match = _ORIGIN.fullmatch(origin)
        if match is not None:
            yield from (origin, f"ws{origin.removeprefix('http')}")


def _is_the_same_for_ever(name: str) -> bool:
    # The names of built files hold a hash of their content. A worker keeps to the policy that its own file came with.
    return name.startswith("assets/") and not name.startswith("assets/worker-")


def _is_page(scope: Scope) -> bool:
    """Tells whether a browser asks for a page of the board's own, such as `/runs/x`, rather than for a file."""
    return "text/html" in Headers(scope=scope).get("accept", "")


def _media_type(path: Path) -> str:
    # The table of the machine may be odd, and a module that is no JavaScript is refused by browsers.
    known = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
    return known.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
