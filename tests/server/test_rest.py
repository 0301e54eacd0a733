"""The routes of the REST service: events, files, checkpoints and their uploads, and those of older clients."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlgym.events import EventLog
from mlgym.server import Limits, create_app
from mlgym.server.uploads import remove_stale
from tests.events.samples import RUN_ID, lines
from tests.server.service import Service

CONTENT = {"model.safetensors": b"weights" * 1000, "state.json": b"{}"}
BASE = f"/api/v1/runs/{RUN_ID}"


@pytest.fixture(autouse=True)
def no_checkpoints(service: Service) -> None:
    """Takes away what other tests have left there."""
    for path in service.storage.glob("*/*/checkpoints"):
        shutil.rmtree(path)


def facts(content: dict[str, bytes]) -> dict[str, Any]:
    return {
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in content.items()
        }
    }


def patch(http: httpx.Client, upload: str, file: str, data: bytes, offset: int = 0) -> httpx.Response:
    return http.patch(f"{BASE}/uploads/0/{upload}/{file}", content=data, headers={"Upload-Offset": str(offset)})


def visible(service: Service) -> list[str]:
    """The names of all complete checkpoints and whatever else is not hidden beside them."""
    return sorted(path.name for path in service.storage.glob("*/*/checkpoints/*") if not path.name.startswith("."))


def test_events(service: Service, http: httpx.Client) -> None:
    """Lines come in once however often they are sent, and go out as they stand, from any event on."""
    sent = [line for index, line in enumerate(lines(100)) if index % 10 != 9]
    shutil.rmtree(service.storage / RUN_ID, ignore_errors=True)  # of the tests beside it
    assert http.get(BASE).status_code == 404
    first = http.post(f"{BASE}/events", content=b"".join(sent[:50]))
    assert first.json() == {"num_received": 50, "num_stored": 50, "num_events": 50}
    again = http.post(f"{BASE}/events", content=iter(sent))
    assert again.json() == {"num_received": 90, "num_stored": 40, "num_events": 90}
    assert (service.storage / RUN_ID / "event_storage.log").read_bytes() == b"".join(sent)
    assert http.get(f"{BASE}/events").content == b"".join(sent)
    assert http.get(f"{BASE}/events", params={"from": 88}).content == b"".join(sent[88:])
    assert http.get(f"{BASE}/events", params={"from": 1000}).content == b""
    head = {"run_id": RUN_ID, "num_events": 90, "num_bytes": len(b"".join(sent)), "last_crc": sent[-1][-11:-3].decode()}
    assert http.get(BASE).json().items() >= head.items()


def test_events_at_a_place(service: Service, http: httpx.Client) -> None:
    """Events without a producer can be sent for one place of the log only, and so are stored once, too."""
    line = b'{"event_type": "x", "payload": {"grid_search_id": "places"}}'
    url = "/api/v1/runs/places/events"
    assert http.post(url, content=line, params={"from": 0}).json()["num_stored"] == 1
    refused = http.post(url, content=line, params={"from": 0})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "offset_mismatch")
    assert len((service.storage / "places" / "event_storage.log").read_bytes().splitlines()) == 1


def test_a_log_in_use(service: Service, http: httpx.Client) -> None:
    """A run whose log somebody else writes takes no events, but can be read."""
    folder = service.storage / "used"
    folder.mkdir()
    with EventLog.open(folder / "event_storage.log"):
        refused = http.post("/api/v1/runs/used/events", content=b'{"event_type": "x", "payload": {}}')
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "in_use")
        assert http.get("/api/v1/runs/used").json()["num_events"] == 0


def test_upload_in_pieces(service: Service, http: httpx.Client) -> None:
    """A checkpoint comes in pieces, is invisible until its manifest is right, and then is there in one moment."""
    name = "epoch_1-step_10"
    weights = CONTENT["model.safetensors"]
    assert patch(http, name, "model.safetensors", weights[:1000]).json() == {"offset": 1000}
    assert http.get(f"{BASE}/uploads/0/{name}/model.safetensors").json() == {"offset": 1000}
    wrong = patch(http, name, "model.safetensors", weights, offset=5)
    assert (wrong.status_code, wrong.headers["Upload-Offset"]) == (409, "1000")
    assert patch(http, name, "model.safetensors", weights[1000:], 1000).json() == {"offset": 7000}
    patch(http, name, "state.json", CONTENT["state.json"])
    patch(http, name, "left_over", b"not in the manifest")
    assert http.get(f"{BASE}/checkpoints").json() == []
    assert visible(service) == []
    for _ in range(2):  # the answer to the first one may be lost
        assert http.post(f"{BASE}/uploads/0/{name}", json=facts(CONTENT)).status_code == 200
    assert http.get(f"{BASE}/checkpoints").json() == [{"experiment_id": 0, "name": name, **facts(CONTENT)}]
    folder = service.storage / RUN_ID / "0" / "checkpoints" / name
    assert {path.name for path in folder.iterdir()} == {*CONTENT, "manifest.json"}
    url = f"{BASE}/checkpoints/0/{name}/model.safetensors"
    assert http.get(url).content == weights
    part = http.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, weights[10:20])
    assert http.get(url, headers={"Range": "bytes=99999-"}).status_code == 416
    assert http.delete(f"{BASE}/checkpoints/0/{name}").status_code == 200
    assert http.delete(f"{BASE}/checkpoints/0/{name}").status_code == 404
    assert visible(service) == []


def test_wrong_hash(service: Service, http: httpx.Client) -> None:
    """A file that is not what the manifest says is named and thrown away; the others need not be sent again."""
    name = "epoch_2-step_20"
    patch(http, name, "state.json", CONTENT["state.json"])
    missing = http.post(f"{BASE}/uploads/0/{name}", json=facts(CONTENT))
    assert (missing.status_code, missing.json()["error"]["path"]) == (422, "files.model.safetensors")
    for wrong in (b"x" * 7000, b"short"):
        patch(http, name, "model.safetensors", wrong)
        refused = http.post(f"{BASE}/uploads/0/{name}", json=facts(CONTENT))
        assert (refused.status_code, refused.json()["error"]["path"]) == (422, "files.model.safetensors")
        assert http.get(f"{BASE}/uploads/0/{name}/model.safetensors").json() == {"offset": 0}
        assert http.get(f"{BASE}/uploads/0/{name}/state.json").json() == {"offset": 2}
    assert visible(service) == []
    patch(http, name, "model.safetensors", CONTENT["model.safetensors"])
    assert http.post(f"{BASE}/uploads/0/{name}", json=facts(CONTENT)).status_code == 200
    # Another content under the name takes the place of the first.
    other = {"model.safetensors": b"others"}
    patch(http, name, "model.safetensors", b"others")
    assert http.post(f"{BASE}/uploads/0/{name}", json=facts(other)).status_code == 200
    assert [one["files"] for one in http.get(f"{BASE}/checkpoints").json()] == [facts(other)["files"]]
    http.delete(f"{BASE}/checkpoints/0/{name}")


def test_manifests(http: httpx.Client) -> None:
    """Manifests that are none, or name the manifest itself or a way out, are refused."""
    entry = {"bytes": 1, "sha256": "0" * 64}
    for files in ({}, {"a": {"bytes": -1, "sha256": "0" * 64}}, {"a": {"bytes": 1, "sha256": "../x"}}, {"a": 1}):
        assert http.post(f"{BASE}/uploads/0/epoch_1-step_1", json={"files": files}).status_code == 422
    for name in ("manifest.json", "../a", ".a", "\ud800"):
        body = json.dumps({"files": {name: entry}})
        answer = http.post(
            f"{BASE}/uploads/0/epoch_1-step_1", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 422), name
    many = {str(number): entry for number in range(1000)}
    assert http.post(f"{BASE}/uploads/0/epoch_1-step_1", json={"files": many}).status_code == 422


def slow_upload(service: Service, name: str, announced: int, sent: bytes) -> socket.socket:
    """Begins to send a file and leaves it at that."""
    connection = socket.create_connection(("127.0.0.1", service.port))
    head = f"PATCH {BASE}/uploads/0/{name}/a HTTP/1.1\r\nHost: 127.0.0.1\r\nUpload-Offset: 0\r\n"
    connection.sendall(f"{head}Content-Length: {announced}\r\n\r\n".encode() + sent)
    return connection


def test_two_uploads_at_once(service: Service, http: httpx.Client) -> None:
    """Of two that send one file at a time the second waits; one that was torn is gone on with where it ended."""
    name = "epoch_3-step_30"
    content = b"y" * 3_000_000
    partial = service.storage / RUN_ID / "0" / "checkpoints" / f".{name}.upload" / "a"
    with slow_upload(service, name, len(content), content[:2_000_000]):
        until(lambda: partial.exists() and partial.stat().st_size > 0)
        busy = patch(http, name, "a", content, partial.stat().st_size)
        assert (busy.status_code, busy.json()["error"]["code"]) == (409, "busy")
        finish = http.post(f"{BASE}/uploads/0/{name}", json=facts({"a": content}))
        assert (finish.status_code, finish.json()["error"]["code"]) == (409, "busy")
    until(lambda: partial.stat().st_size == 2_000_000)
    until(lambda: patch(http, name, "a", content[2_000_000:], 2_000_000).status_code == 200)
    assert visible(service) == []
    assert http.post(f"{BASE}/uploads/0/{name}", json=facts({"a": content})).status_code == 200
    assert http.get(f"{BASE}/checkpoints/0/{name}/a").content == content
    http.delete(f"{BASE}/checkpoints/0/{name}")


def until(condition: Any) -> None:
    give_up_at = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up_at, "timed out"
        time.sleep(0.01)


def test_many_at_once(service: Service, http: httpx.Client) -> None:
    """Clients that send the same checkpoint together end with it, whoever's bytes were taken."""
    name, content, failures = "epoch_4-step_40", b"z" * 500_000, []

    def send() -> None:
        with httpx.Client(base_url=service.url, trust_env=False, timeout=60) as own:
            for _ in range(500):
                offset = own.get(f"{BASE}/uploads/0/{name}/a").json()["offset"]
                if offset < len(content):
                    patch(own, name, "a", content[offset : offset + 50_000], offset)
                elif own.post(f"{BASE}/uploads/0/{name}", json=facts({"a": content})).status_code == 200:
                    return
                if own.get(f"{BASE}/checkpoints/0/{name}/a").status_code == 200:
                    return
            failures.append("never done")

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert http.get(f"{BASE}/checkpoints/0/{name}/a").content == content
    http.delete(f"{BASE}/checkpoints/0/{name}")


def test_older_clients(service: Service, http: httpx.Client) -> None:
    """The routes of 0.0.75 answer as they did: configs, files by epoch, 404 for what is not there."""
    run = "/grid_searches/older"
    config = {"file_format": "YAML", "content": "a: &x 1\nb: *x\n"}
    assert http.put(f"{run}/grid_search_config.yml", json=config).status_code == 200
    assert http.get(f"{run}/grid_search_config").text == config["content"]
    assert http.get(f"{run}/nothing").status_code == 404
    experiment = {"file_format": "JSON", "content": '{"lr": 0.1}'}
    assert http.put(f"{run}/1/experiment_config.json", json=experiment).status_code == 200
    assert http.put(f"{run}/0/experiment_config.json", json=experiment | {"content": "{"}).status_code == 422
    assert http.put(f"{run}/experiment_config.json", json=config).status_code == 400
    assert http.get(f"{run}/1/experiment_config").json() == {"lr": 0.1}
    assert http.get("/checkpoint_list/older/1").json() == []
    for epoch in (2, 10):
        for file in ("model.pickle", "optimizer.pickle"):
            sent = {"checkpoint_file": (file, f"{file} {epoch}".encode())}
            assert http.post(f"/checkpoints/older/1/{epoch}", files=sent).status_code == 200
    listed = {"experiment_id": 1, "epoch": 2, "checkpoints": ["model.pickle", "optimizer.pickle"]}
    assert http.get("/checkpoint_list/older/1").json() == [listed, listed | {"epoch": 10}]
    assert http.get("/checkpoint_list/older/1/10").json() == [listed | {"epoch": 10}]
    assert http.get(f"{run}/experiments").json() == [
        {"experiment_id": 1, "last_checkpoint_id": 10, "experiment_config": {"lr": 0.1}}
    ]
    part = http.get("/checkpoints/older/1/10/model.pickle", headers={"Range": "bytes=0-4"})
    assert (part.status_code, part.content) == (206, b"model")
    assert http.delete("/checkpoints/older/1/10/model.pickle").status_code == 200
    assert http.get("/checkpoints/older/1/10/model.pickle").status_code == 404
    assert http.delete("/checkpoints/older/1/10").status_code == 200
    assert http.delete("/checkpoints/older/1/10").status_code == 404
    assert http.get("/model-card/older/1").status_code == 404
    assert http.get("/system-info/older/1").json().keys() == {"detail"}


def test_older_clients_and_whole_checkpoints(http: httpx.Client) -> None:
    """Older routes show whole checkpoints by epoch; a single file of one cannot be deleted."""
    for step, data in ((49, b"first"), (50, b"last")):
        patch(http, f"epoch_5-step_{step}", "a", data)
        http.post(f"{BASE}/uploads/0/epoch_5-step_{step}", json=facts({"a": data}))
    assert http.get(f"/checkpoint_list/{RUN_ID}/0/5").json() == [{"experiment_id": 0, "epoch": 5, "checkpoints": ["a"]}]
    assert http.get(f"/checkpoints/{RUN_ID}/0/5/a").content == b"last"
    assert http.delete(f"/checkpoints/{RUN_ID}/0/5/a").status_code == 409
    assert http.delete(f"/checkpoints/{RUN_ID}/0/5").status_code == 200
    assert http.get(f"{BASE}/checkpoints").json() == []


def test_files(http: httpx.Client) -> None:
    """Configs and records come and go as bytes, listed with their hashes."""
    url = "/api/v1/runs/files/files"
    for name, data in (("run_config.yml", b"a: 1"), ("3/experiment_config.json", b"{}")):
        assert http.put(f"{url}/{name}", content=data).status_code == 200
        assert http.get(f"{url}/{name}").content == data
    assert http.get(url).json() == facts({"3/experiment_config.json": b"{}", "run_config.yml": b"a: 1"})["files"]


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [("bytes=9-", 416, "no_such_range"), ("bytes=x", 400, "bad_range"), ("lines=1-2", 400, "bad_range")],
)
def test_ranges_that_files_do_not_have(http: httpx.Client, asked: str, status: int, code: str) -> None:
    """They are answered in the one form of errors; the rest of a file that is shorter than asked is served."""
    url = "/api/v1/runs/ranges/files/run_config.yml"
    http.put(url, content=b"a: 1")
    refused = http.get(url, headers={"Range": asked})
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert refused.headers.get("Content-Range") == ("bytes */4" if status == 416 else None)
    assert http.get(url, headers={"Range": "bytes=3-9"}).content == b"1"


def test_openapi(http: httpx.Client) -> None:
    """The description of the routes is where boards look for it."""
    paths = http.get("/api/v1/openapi.json").json()["paths"]
    assert "/api/v1/runs/{run}/uploads/{experiment}/{name}/{file}" in paths


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_stops(tmp_path: Path, signum: signal.Signals) -> None:
    """A signal ends the service with exit code 0, without a traceback, and lets go of the logs."""
    with Service(tmp_path / "storage") as service:
        answer = httpx.post(
            f"{service.url}/api/v1/runs/run/events",
            content=b'{"event_type": "x", "payload": {}}',
            trust_env=False,
            timeout=60,
        )
        assert answer.status_code == 200
        code, said = service.stop(signum)
    assert code == 0
    assert "Traceback" not in said
    with EventLog.open(tmp_path / "storage" / "run" / "event_storage.log") as log:
        assert log.num_events == 1


def asgi(tmp_path: Path, limits: Limits, request: Any) -> Any:
    """Gives what a request to the app under some limits gives, without a socket."""

    async def ask() -> Any:
        transport = httpx.ASGITransport(app=create_app(tmp_path, rest=True, limits=limits))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await request(client)

    return asyncio.run(ask())


def test_limits_of_uploads(tmp_path: Path) -> None:
    """A file that is too large in one request, or in several, is refused; nothing of it is visible."""

    async def send(client: httpx.AsyncClient) -> list[int]:
        url = "/api/v1/runs/run/uploads/0/epoch_1-step_1/a"
        codes = []
        for size, offset in ((101, 0), (60, 0), (60, 60), (40, 60)):
            answer = await client.patch(url, content=b"x" * size, headers={"Upload-Offset": str(offset)})
            codes.append(answer.status_code)
        form = await client.post("/checkpoints/run/0/1", files={"checkpoint_file": ("m", b"x" * 101)})
        return [*codes, form.status_code]

    assert asgi(tmp_path, Limits(upload_bytes=100), send) == [413, 200, 413, 200, 413]
    assert [path.name for path in tmp_path.glob("run/0/checkpoints/[!.]*/*")] == []


def test_slow_bodies(tmp_path: Path) -> None:
    """A body that stops coming is given up after a while, with 408."""

    async def send(client: httpx.AsyncClient) -> Any:
        async def pieces() -> Any:
            yield b"x"
            await asyncio.sleep(30)

        return await client.put("/api/v1/runs/run/files/a.yml", content=pieces())

    assert asgi(tmp_path, Limits(wait_s=0.05), send).status_code == 408
    assert not (tmp_path / "run" / "a.yml").exists()


def test_stale_uploads_go(tmp_path: Path) -> None:
    """What nobody goes on with is removed after a while; what is newer, and complete checkpoints, stay."""
    parent = tmp_path / "run" / "0" / "checkpoints"
    for name in (".epoch_1-step_1.upload", ".epoch_2-step_2.upload", "epoch_3-step_3", "epoch_4"):
        (parent / name).mkdir(parents=True)
        (parent / name / "a").write_bytes(b"x")
    (parent / "epoch_4" / ".0123.part").write_bytes(b"x")
    for path in parent.rglob("*"):
        if "step_2" not in str(path):
            os.utime(path, (1, 1))
    remove_stale(tmp_path, 3600.0)
    left = {str(path.relative_to(parent)) for path in parent.rglob("*") if path.is_file()}
    assert left == {".epoch_2-step_2.upload/a", "epoch_3-step_3/a", "epoch_4/a"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 1 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_full_disk(small_disk: Path) -> None:
    """A full disk is a retriable error for each kind of upload; nothing is visible, and the service goes on."""

    async def send(client: httpx.AsyncClient) -> list[int]:
        large = b"x" * 2 * 2**20
        upload = "/api/v1/runs/run/uploads/0/epoch_1-step_1"
        answers = [
            await client.patch(f"{upload}/a", content=large, headers={"Upload-Offset": "0"}),
            await client.post("/checkpoints/run/0/1", files={"checkpoint_file": ("m", large)}),
            await client.put("/api/v1/runs/run/files/a.yml", content=large),
            await client.delete("/api/v1/runs/run/checkpoints/0/epoch_1-step_1"),
            await client.put("/api/v1/runs/run/files/a.yml", content=b"a: 1"),
        ]
        return [answer.status_code for answer in answers]

    assert asgi(small_disk, Limits(), send) == [507, 507, 507, 200, 200]
    left = [path.name for path in small_disk.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert sorted(left) == ["a.yml", "event_storage.log"]
