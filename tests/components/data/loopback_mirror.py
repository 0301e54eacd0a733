"""A web server on the loopback interface that serves files and misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Mirror:
    """What the server has and how it behaves.

    Args:
        files: content by name.
        breaks: how many answers are cut off half-way before they are whole.
        ranges: whether a range of bytes can be asked for.
        delay_s: wait before each answer.
        least: how many requests there must have been before the first answer.
        requests: what was asked for: (name, range header).
    """

    files: dict[str, bytes]
    breaks: int = 0
    ranges: bool = True
    delay_s: float = 0.0
    least: int = 0
    address: str = ""
    requests: list[tuple[str, str | None]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    mirror: Mirror

    def do_GET(self) -> None:
        mirror = self.mirror
        name, wanted = self.path.lstrip("/"), self.headers.get("Range")
        mirror.requests.append((name, wanted))
        threading.Event().wait(mirror.delay_s)
        while len(mirror.requests) < mirror.least:
            threading.Event().wait(0.01)
        if name not in mirror.files:
            self.send_error(404)
            return
        content = mirror.files[name]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and mirror.ranges else 0
        if start >= len(content) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if mirror.breaks > 0:
            mirror.breaks -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(mirror: Mirror) -> Iterator[Mirror]:
    """Serves until the block ends; sets the address."""
    handler = type("Handler", (_Handler,), {"mirror": mirror})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    mirror.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
