"""Texts, numbers and JSON that have broken services like this one, as they stand in a URL or a body."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.server.service import Service

NAMES: Final = [
    "..",
    ".",
    "%2e%2e",
    "%252e%252e",
    "..%2f..%2fother",
    "%2fabs",
    "C:%5cx",
    "..%5c..",
    "..;",
    "..;%2f",
    "%c0%ae%c0%ae",
    "%ef%bc%8e%ef%bc%8e",
    "%00",
    "run%00.yml",
    "a%0d%0aX:%20y",
    "a%0a",
    quote("\u202egpj.exe"),
    quote("é"),
    quote("e\u0301"),
    quote("\uff52\uff55\uff4e"),
    "a" * 300,
    "a" * 5000,
    "%ed%a0%80",
    "event_storage.log",
    "x.torn",
    "x.lock",
    ".hidden",
    ".trash",
    ".notes.log",
    "latest",
    "-1",
    "%20",
    "%",
    "%zz",
    "*",
    "~",
    "$HOME",
    "%7b%7b7*7%7d%7d",
]
"""No one of them can be the name of anything, encoded as it stands in a path."""

TEXTS: Final = [
    "../../etc/passwd",
    "\x00",
    "\r\nX: y",
    "\u202e",
    "é",
    "e\u0301",
    "<script>alert(1)</script>",
    "\x1b]0;x\x07\x1b[2J",
    "=cmd|'/c calc'!A1",
    "{{7*7}}",
    "' or 1=1 --",
    "(" * 2000,
    "(a+)+$",
    "not " * 1000 + "a=1",
    "a" * 5000,
    "-1",
    "9" * 400,
    "1e999",
    "NaN",
    "Infinity",
    "0x10",
    "true",
    "null",
    "[]",
    "",
    " ",
]
"""What may stand in a parameter, and must not break anything."""

VALUES: Final = [
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 400,
    b"9223372036854775808",
    b"0.5",
    b'""',
    b'"\\ud800"',
    b'"\\u0000"',
    b'"../../x"',
    b'"' + b"x" * 100_000 + b'"',
    b"[]",
    b"{}",
    b"[" * 300 + b"]" * 300,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b"[" + b",".join([b'"x"'] * 20_000) + b"]",
    b'{"__proto__": {"a": 1}, "constructor": 1}',
    b'"\xff"',
    b'"unterminated',
]
"""What may stand in place of a value in JSON; some of it is none."""


def everything(folder: Path) -> dict[str, bytes | None]:
    """What lies in a folder, with the content of files."""
    return dict(_everything(folder))


def _everything(folder: Path) -> Iterator[tuple[str, bytes | None]]:
    for path in sorted(folder.rglob("*")):
        yield str(path.relative_to(folder)), path.read_bytes() if path.is_file() else None


def raw(service: Service, method: str, target: str) -> int:
    """Sends a request line as it is and gives the status of the answer."""
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nUpload-Offset: 0\r\n"
        connection.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())
        return int(connection.recv(64).split()[1])
