"""Every field of every route, found in the service's own description, with everything that has broken others.

Each answer is below 500, the service reports no exception, and outside the run that is addressed no file changes.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.events.samples import lines
from tests.server.attacks import NAMES, TEXTS, VALUES, everything, raw
from tests.server.service import Service
from tests.server.whole_hub import whole_hub

VALID = {
    "run": "run",
    "run_id": "run",
    "experiment": "0",
    "experiment_id": "0",
    "epoch": "1",
    "file": "model.safetensors",
    "name": "epoch_1-step_1",
}


class Operation(NamedTuple):
    method: str
    path: str
    parameters: list[dict[str, Any]]
    body: dict[str, Any] | None

    def url(self, **given: str) -> str:
        """Its path with the given values, and valid ones for the rest."""
        valid = VALID | ({"name": "a.yml"} if "/files/" in self.path or "grid_searches" in self.path else {})
        valid |= {"name": "x.0"} if "/artifacts/" in self.path else {}
        return self.path.format(**(valid | given))

    def names(self, place: str) -> list[str]:
        return [one["name"] for one in self.parameters if one["in"] == place]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with whole_hub(tmp_path_factory.mktemp("hub") / "storage") as (running, folders):
        for folder in folders:
            folder.write_json("0/experiment_config.json", {"a": 1})
            folder.write_text("a.yml", "secret: 1")
        yield running


@pytest.fixture(scope="module")
def operations(service: Service, http: httpx.Client) -> list[Operation]:
    described = http.get("/api/v1/openapi.json").json()
    found = []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            schema = content.get("schema", {})
            if "$ref" in schema:
                schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            body = schema.get("properties") if content else None
            found.append(Operation(method.upper(), path, operation.get("parameters", []), body))
    assert len(found) >= 30
    assert {name for one in found for name in one.names("path")} <= VALID.keys()
    return found


def outside(service: Service) -> dict[str, bytes | None]:
    """All files but those that a request about the run `run` may change."""
    files = everything(service.storage.parent)
    may_change = ("storage/run/", "storage/.notes.log", "storage/.cache")
    return {
        path: data
        for path, data in files.items()
        if not path.startswith(may_change) or path.endswith("run/event_storage.log")
    }


def send(service: Service, http: httpx.Client, operation: Operation, url: str) -> int:
    """Sends a request that is right but for its names."""
    if url.endswith(("/.", "/..", "%")) or any(part in url for part in ("/./", "/../", "%zz")):
        return raw(service, operation.method, url)  # a client would tidy the path up
    headers = {"Upload-Offset": "0"}
    if operation.method == "POST" and url.startswith("/checkpoints"):
        return http.post(url, files={"checkpoint_file": ("model.pickle", b"bytes")}).status_code
    content = b"x"
    if operation.body is not None:
        headers["Content-Type"] = "application/json"
        content = json.dumps(valid_body(operation)).encode()
    return http.request(
        operation.method, url, headers=headers, content=None if operation.method in ("GET", "DELETE") else content
    ).status_code


def valid_body(operation: Operation) -> dict[str, Any]:
    if operation.path.startswith("/grid_searches"):
        return {"file_format": "YAML", "content": "a: 1"}
    if "/uploads/" in operation.path:
        return {"files": {"a": {"bytes": 1, "sha256": "0" * 64}}}
    return {"name": "a"} if operation.method == "PATCH" else {"keys": ["val/f1"], "points": 10}


@pytest.mark.slow
def test_paths(service: Service, http: httpx.Client, operations: list[Operation]) -> None:
    """No name in any place of any path is answered but with 4xx, and no file anywhere changes."""
    before = everything(service.storage.parent)
    for operation in operations:
        for parameter in operation.names("path"):
            for name in NAMES:
                if name == "latest" and parameter != "run":
                    continue  # reserved for runs alone
                status = send(service, http, operation, operation.url(**{parameter: name}))
                assert 400 <= status < 500, (operation.method, operation.path, parameter, name)
    assert everything(service.storage.parent) == before


@pytest.mark.slow
def test_queries_and_headers(service: Service, http: httpx.Client, operations: list[Operation]) -> None:
    """Whatever stands in a query or header, it is answered, and changes nothing."""
    before = outside(service)
    for operation in operations:
        for parameter in operation.names("query"):
            for text in TEXTS:
                for times in (1, 2) if len(text) < 5 else (1,):
                    params = httpx.QueryParams([(parameter, text)] * times)
                    answer = http.request(operation.method, operation.url(), params=params)
                    assert answer.status_code < 500, (operation.method, operation.path, parameter, text[:40])
            long = http.request(operation.method, operation.url(), params=[(parameter, "a")] * 1000)
            assert long.status_code < 500, (operation.path, parameter)
        for parameter in operation.names("header"):
            for value in ("", "-1", "9" * 400, "NaN", "\xff", "a" * 5000, "1, 2"):
                headers = {parameter.encode(): value.encode("latin-1")}
                answer = http.request(operation.method, operation.url(), headers=headers)
                assert answer.status_code < 500, (operation.path, parameter, value[:40])
    assert outside(service) == before


def test_bodies(service: Service, http: httpx.Client, operations: list[Operation]) -> None:
    """Whatever stands in a field of a body, or in place of all of it, is answered, and stays in its run."""
    before = outside(service)
    bodies = [one for one in operations if one.body is not None]
    assert len(bodies) >= 4
    for operation in bodies:
        fields = list(operation.body or {})
        for field in [None, *fields, "unheard_of"]:
            for value in VALUES:
                content = value
                if field is not None:
                    rest = {key: one for key, one in valid_body(operation).items() if key != field}
                    start = json.dumps(rest).encode()[:-1] + (b"," if rest else b"")
                    content = start + json.dumps(field).encode() + b":" + value + b"}"
                answer = http.request(
                    operation.method, operation.url(), content=content, headers={"Content-Type": "application/json"}
                )
                assert answer.status_code < 500, (operation.method, operation.path, field, value[:40])
    assert outside(service) == before


def test_raw_bodies(service: Service, http: httpx.Client, operations: list[Operation]) -> None:
    """Bodies of a kind that a route does not take are answered, and the log stays as it was."""
    log = service.storage / "run" / "event_storage.log"
    before = outside(service), log.read_bytes()
    for operation in operations:
        if operation.method in ("GET", "DELETE"):
            continue
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "a" * 300, ""):
            for content in (b"", b"\xff\xfe", b"a=" + b"b&a=" * 10_000, b"{}"):
                answer = http.request(
                    operation.method, operation.url(), content=content, headers={"Content-Type": kind}
                )
                assert answer.status_code < 500, (operation.method, operation.path, kind[:40], content[:40])
    assert (outside(service), log.read_bytes()) == before


_HOST = b"Host: 127.0.0.1\r\n"
_PUT = b"PUT /api/v1/runs/run/files/b.yml HTTP/1.1\r\n" + _HOST
_UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + _HOST + b"\r\n"
)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + _HOST + _HOST + b"\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"GET /" + b"a" * 200_000,
        _PUT + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        _PUT + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX",
        _PUT + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n4\r\na: 1\r\n0\r\n\r\n",
        _PUT + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        _PUT + b"Content-Length: -1\r\n\r\n",
        _PUT + b"Content-Length: 99999999999999999999\r\n\r\n",
        _PUT + b"Content-Length: 10\r\n\r\nabc",
        _UPGRADE.replace(b"dGhl", b"x"),
        _UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        _UPGRADE.replace(b"EIO=4", b"EIO=3"),
        _UPGRADE.replace(b"GET", b"POST"),
        _UPGRADE + b"\xff" * 40,
        _UPGRADE + b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
        _UPGRADE + b"\x81\x02ab",
    ],
    ids=range(23),
)
def test_what_is_no_request(service: Service, sent: bytes) -> None:
    """Bytes that are no HTTP, or half of it, are answered with 4xx or the end, and leave nothing."""
    before = everything(service.storage)
    with socket.create_connection(("127.0.0.1", service.port), timeout=120) as connection:
        with suppress(OSError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        received = b""
        with suppress(ConnectionError):
            while piece := connection.recv(4096):
                received += piece
    assert not received or received.startswith((b"HTTP/1.1 4", b"HTTP/1.1 101"))
    assert everything(service.storage) == before


def test_what_is_right(service: Service, http: httpx.Client) -> None:
    """The control: what is right is stored, in the run that is addressed."""
    body = b"".join(lines(3))
    assert http.post("/api/v1/runs/2026-11-23--16-14-30/events", content=body).status_code < 500


def test_still_well(service: Service, http: httpx.Client) -> None:
    """After all of it the service answers, and the runs are as they were."""
    assert http.get("/api/v1/health").status_code == 200
    assert (Path(service.storage) / "other" / "a.yml").read_text() == "secret: 1"
