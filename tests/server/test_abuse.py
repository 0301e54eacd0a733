"""Pages, hosts, links, bodies and events that a service must refuse: 4xx, and nothing changes on the disk."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import pytest

from mlgym.events import EventLog, Producer
from mlgym.tracking import create_run_folder
from tests.events.samples import log_event
from tests.server.attacks import everything
from tests.server.service import Service


@pytest.fixture(scope="module")
def run(service: Service) -> Path:
    folder = create_run_folder(service.storage, "run")
    with EventLog.open(folder.log_path) as log:
        log.append([Producer().event(msgspec.structs.replace(log_event(), grid_search_id="run"))])
    folder.write_json("0/experiment_config.json", {"a": 1})
    other = create_run_folder(service.storage, "other")
    other.write_text("secret.yml", "secret: 1")
    return folder.path


def _send(http: httpx.Client, method: str, url: str) -> httpx.Response:
    """Sends a request that is right but for its names."""
    if method == "POST" and url.startswith("/checkpoints"):
        return http.post(url, files={"checkpoint_file": ("model.pickle", b"bytes")})
    headers = {"Upload-Offset": "0"} if method == "PATCH" else {}
    content: bytes | None = None
    if method == "PUT" and url.startswith("/grid_searches"):
        content = json.dumps({"file_format": "JSON" if url.endswith("json") else "YAML", "content": "{}"}).encode()
    elif method == "POST" and "/uploads/" in url:
        content = json.dumps({"files": {"a": {"bytes": 1, "sha256": "0" * 64}}}).encode()
    elif method in ("PATCH", "PUT"):
        content = b"x"
    if content is not None:
        headers["Content-Type"] = "application/json"
    return http.request(method, url, content=content, headers=headers)


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:5001"},
        {"Host": "evil@127.0.0.1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Content-Encoding": "gzip"},
    ],
    ids=str,
)
def test_foreign_requests(
    service: Service, http: httpx.Client, run: Path, method: str, headers: dict[str, str]
) -> None:
    """Other host names, pages of other origins and encoded bodies are refused by every method, in both forms."""
    before = everything(service.storage)
    for url in ("/api/v1/runs/run/files/a.yml", "/grid_searches/run/a.yml"):
        answer = http.request(method, url, headers=headers)
        assert answer.status_code in (403, 415)
        assert set(answer.json()) == ({"error"} if url.startswith("/api") else {"detail"})
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert everything(service.storage) == before


def test_own_page(service: Service, http: httpx.Client) -> None:
    """The control: a page of the service's own origin may ask, under each of its names."""
    for name in ("127.0.0.1", "localhost", "[::1]"):
        host = f"{name}:{service.port}"
        answer = http.get("/api/v1/health", headers={"Host": host, "Origin": f"http://{host}"})
        assert answer.status_code == 200


def test_text_plain_is_no_json(http: httpx.Client, run: Path) -> None:
    """A body of the kind that any page may send without being asked is not taken for JSON."""
    body = '{"file_format": "YAML", "content": "a: 1"}'
    answer = http.put("/grid_searches/run/a.yml", content=body, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    assert not (run / "a.yml").exists()


def test_links_lead_nowhere(service: Service, http: httpx.Client, run: Path) -> None:
    """Symbolic links in the tree are not followed out of the run, to read, write or delete."""
    other = service.storage / "other"
    (run / "7").symlink_to(other)
    (run / "link.yml").symlink_to(other / "secret.yml")
    (service.storage / "linked").symlink_to(other)
    before = everything(other)
    try:
        for method, url in [
            ("GET", "/api/v1/runs/run/files/link.yml"),
            ("GET", "/api/v1/runs/run/files/7/secret.yml"),
            ("PUT", "/api/v1/runs/run/files/7/a.yml"),
            ("PATCH", "/api/v1/runs/run/uploads/7/epoch_1-step_1/a"),
            ("POST", "/checkpoints/run/7/1"),
            ("DELETE", "/checkpoints/run/7/1"),
            ("GET", "/api/v1/runs/linked/files/secret.yml"),
            ("PUT", "/api/v1/runs/linked/files/a.yml"),
        ]:
            assert 400 <= _send(http, method, url).status_code < 500, (method, url)
        assert "link.yml" not in http.get("/api/v1/runs/run/files").json()
        assert everything(other) == before
    finally:
        for link in (run / "7", run / "link.yml", service.storage / "linked"):
            link.unlink()


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b'{"payload": {}}',
        b'{"event_type": "x", "payload": {"grid_search_id": "other"}}',
        b'{"event_type": "x", "payload": NaN}',
        b'{"event_type": "x", "payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"event_type": "x", "payload": {}, "producer": "p", "seq": -1}',
        b'{"event_type":"x","payload":{},"crc":"00000000"}',
        b'{"event_type": "x", "payload": "\xff"}',
        b'{"event_type": "x", "payload": "' + b"x" * (17 * 2**20) + b'"}',
        b"x" * (18 * 2**20),
    ],
    ids=range(11),
)
def test_events(http: httpx.Client, run: Path, line: bytes) -> None:
    """What is no event, damaged, or another run's is refused with its line, and the log stays as it was."""
    before = (run / "event_storage.log").read_bytes()
    answer = http.post("/api/v1/runs/run/events", content=line)
    assert answer.status_code in (413, 422)
    assert set(answer.json()["error"]) == {"code", "message", "path"}
    assert len(answer.content) < 1000
    assert (run / "event_storage.log").read_bytes() == before


def test_latest_is_no_run(http: httpx.Client) -> None:
    """The word for the newest run can be no run's id."""
    for method, url in [("GET", "runs/latest"), ("PUT", "runs/latest/files/a.yml"), ("POST", "runs/latest/events")]:
        assert http.request(method, f"/api/v1/{url}").status_code == 400


def test_odd_numbers(http: httpx.Client) -> None:
    """A jump of 2^63 and unknown types are stored once; they are valid JSON and somebody's events."""
    line = b'{"event_type": "unheard_of", "payload": {}, "producer": "p", "seq": 9223372036854775808}\n'
    for stored in (1, 0):
        assert http.post("/api/v1/runs/odd/events", content=line).json()["num_stored"] == stored


def test_bodies(http: httpx.Client, run: Path) -> None:
    """Malformed bodies get 422, lone surrogates among them; too large ones 413, with and without a length."""
    surrogate = b'{"file_format": "YAML", "content": "\\ud800"}'
    for content in (b"", b"{}", b"[" * 100_000, surrogate, b'{"file_format": "PICKLE", "content": ""}'):
        answer = http.put("/grid_searches/run/a.yml", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (content[:20], answer.text)
        assert set(answer.json()) == {"detail"}
    large = b"x" * (17 * 2**20)
    assert http.put("/api/v1/runs/run/files/a.yml", content=large).status_code == 413
    pieces = (large[: 2**20] for _ in range(17))
    with suppress(httpx.WriteError):  # it may be cut off before all was sent
        assert http.put("/api/v1/runs/run/files/a.yml", content=pieces).status_code == 413
    assert not (run / "a.yml").exists()


def test_forms(service: Service, http: httpx.Client, run: Path) -> None:
    """Forms with other fields, many fields, bad file names or no end are refused and leave nothing."""
    before = everything(service.storage)
    url = "/checkpoints/run/0/1"
    begin = b'--b\r\nContent-Disposition: form-data; name="checkpoint_file"; filename="m.pickle"\r\n\r\nx'
    for content in (b"", b"--b", begin, begin + b"\r\n--b\r\n", b"--b\r\n" + b"X" * 20_000 + b": y\r\n"):
        answer = http.post(url, content=content, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.status_code == 422, content
    assert http.post(url, content=begin, headers={"Content-Type": "application/json"}).status_code == 422
    assert http.post(url, files={"other": ("m.pickle", b"x")}).status_code == 422
    assert http.post(url, files=[("checkpoint_file", ("m.pickle", b"x"))] * 10_000).status_code == 422
    for name in ("../m", "..", "a/b", ".m", "event_storage.log", "é", "a" * 300):
        assert http.post(url, files={"checkpoint_file": (name, b"x")}).status_code == 400, name
    after = everything(service.storage)
    assert {key: value for key, value in after.items() if value is not None} == {
        key: value for key, value in before.items() if value is not None
    }


def test_unknown_routes(http: httpx.Client) -> None:
    """Unknown routes and methods answer in the form of their side of the service."""
    for method, url, status in [
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/health", 405),
        ("GET", "/nothing", 404),
        ("GET", "/docs", 404),
    ]:
        answer = http.request(method, url)
        assert answer.status_code == status
        assert set(answer.json()) == ({"error"} if url.startswith("/api") else {"detail"})
