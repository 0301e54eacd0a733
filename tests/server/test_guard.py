"""Who is let in: every route and method asks for a token where the service has one; pages come from known origins."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message

from mlgym.server import Door, Limits, create_app
from mlgym.server.board import Board
from mlgym.server.guard import Guard
from mlgym.server.tokens import Tokens
from mlgym.tracking import create_run_folder

TOKENS = Tokens("a-secret-of-twenty-or-more")
ORIGIN = "http://127.0.0.1:8080"
DOOR = Door(tokens=TOKENS, origins=[ORIGIN])
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
READS = ("GET", "HEAD")

Ask = Callable[[httpx.AsyncClient], Awaitable[Any]]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("storage")
    for run_id in ("run", "other"):
        create_run_folder(path, run_id).write_text("a.yml", "secret: 1")
    (path / "run" / "0").mkdir()
    return path


def asked(app: Any, ask: Ask) -> Any:
    async def run() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await ask(client)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def app(storage: Path) -> Any:
    return create_app(storage, rest=True, sockets=True, board=Board(), door=DOOR)


@pytest.fixture(scope="module")
def routes(storage: Path) -> list[tuple[str, str]]:
    """Every method and path that the service has, with the run `run` in it."""

    async def ask(http: httpx.AsyncClient) -> Any:
        return (await http.get("/api/v1/openapi.json")).json()["paths"]

    paths: dict[str, dict[str, Any]] = asked(create_app(storage, rest=True), ask)
    found = [
        (method.upper(), re.sub(r"\{\w+\}", "0", path.replace("{run}", "run").replace("{run_id}", "run")))
        for path, methods in paths.items()
        for method in methods
    ]
    assert len(found) >= 40
    return [*found, ("GET", "/api/v1/openapi.json")]


def test_every_route_asks_for_a_token(app: Any, storage: Path, routes: list[tuple[str, str]]) -> None:
    """No route, and no path that is none, says anything by any method without a token, or with a wrong one."""
    unknown = [(method, path) for method in METHODS for path in ("/api/v1/nothing", "/api/x", "/checkpoints")]
    twins = [(method, path) for _, path in routes for method in METHODS]
    before = sorted(storage.rglob("*"))

    async def ask(http: httpx.AsyncClient) -> None:
        for method, path in {*routes, *unknown, *twins}:
            for headers in ({}, bearer("wrong"), bearer(TOKENS.read[:-1]), {"Cookie": f"token={TOKENS.write}"}):
                answer = await http.request(method, path, headers=headers, params={"token": TOKENS.write})
                assert answer.status_code == 401, (method, path, headers)
                assert answer.headers["WWW-Authenticate"] == "Bearer"

    asked(app, ask)
    assert sorted(storage.rglob("*")) == before


def test_reading_is_not_writing(app: Any, storage: Path, routes: list[tuple[str, str]]) -> None:
    """The read token gets past the guard for reads only: by method, but for the query that is too long for a URL."""
    before = sorted(storage.rglob("*"))

    async def ask(http: httpx.AsyncClient) -> None:
        for method, path in routes:
            answer = await http.request(method, path, headers=bearer(TOKENS.read))
            is_read = method in READS or (method == "POST" and path == "/api/v1/runs/run/metrics")
            assert (answer.status_code == 403) != is_read, (method, path, answer.text)
            if not is_read:
                assert "read only" in answer.text

    asked(app, ask)
    assert sorted(storage.rglob("*")) == before


def test_a_token_for_one_run(app: Any, storage: Path, routes: list[tuple[str, str]]) -> None:
    """The token of a run opens what has the run in its path and nothing else, whatever stands behind the path."""
    of_other = bearer(TOKENS.of_run("other"))

    async def ask(http: httpx.AsyncClient) -> None:
        for method, path in routes:
            answer = await http.request(method, path, headers=of_other)
            assert (answer.status_code == 403) != (path == "/api/v1/health"), (method, path)
        for path in ("/api/v1/runs/other/../run/files/a.yml", "/api/v1/runs/other%2f..%2frun/files/a.yml"):
            assert (await http.get(path, headers=of_other)).status_code in (400, 403, 404)
        for question in ("diff?a=run/0&b=0", "diff?a=run/0&b=run/0", "report?format=json&against=run"):
            answer = await http.get(f"/api/v1/runs/other/{question}", headers=of_other)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_run"), question
        own = await http.get("/api/v1/runs/other/files/a.yml", headers=of_other)
        assert own.text == "secret: 1"
        put = await http.put("/api/v1/runs/other/files/b.yml", headers=of_other, content=b"b: 1")
        assert put.status_code == 200

    asked(app, ask)
    assert (storage / "other" / "b.yml").is_file()


def test_the_board_is_public(app: Any) -> None:
    """The page itself, the same for everybody, needs no token: it has to ask for one."""

    async def ask(http: httpx.AsyncClient) -> list[int]:
        return [(await http.get(path)).status_code for path in ("/", "/missing.js")]

    assert asked(app, ask) == [200, 404]


def test_preflight(app: Any) -> None:
    """Browsers ask before they send; pages of given origins may, without a token, those of others may not."""

    async def ask(http: httpx.AsyncClient) -> None:
        for path in ("/api/v1/runs", "/checkpoints/run/0/1", "/socket.io/"):
            asking = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}
            answer = await http.options(path, headers={"Origin": ORIGIN, **asking})
            assert answer.status_code == 204
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
            assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
            assert "Access-Control-Allow-Credentials" not in answer.headers
            for origin in ("http://evil.example", "null", "http://127.0.0.1:8081", "https://127.0.0.1:8080", "*", ""):
                refused = await http.options(path, headers={"Origin": origin, **asking})
                assert refused.status_code == 403, origin
                assert "Access-Control-Allow-Origin" not in refused.headers
            unasked = await http.options(path, headers={"Origin": ORIGIN})
            assert unasked.status_code in (200, 400, 401, 404, 405)

    asked(app, ask)


def test_answers_for_other_origins(app: Any) -> None:
    """What a page of a given origin gets it may read, errors too; nobody else's page may."""

    async def ask(http: httpx.AsyncClient) -> None:
        for headers in ({}, bearer(TOKENS.read)):
            answer = await http.get("/api/v1/health", headers={"Origin": ORIGIN, **headers})
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Origin" not in (await http.get("/api/v1/health")).headers

    asked(app, ask)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Origin": ORIGIN}, 200),
    ],
    ids=str,
)
def test_pictures_and_scripts_of_foreign_pages(app: Any, headers: dict[str, str], status: int) -> None:
    """What a foreign page embeds comes without an origin; browsers say all the same where it comes from."""

    async def ask(http: httpx.AsyncClient) -> int:
        return (await http.get("/api/v1/health", headers={**headers, **bearer(TOKENS.read)})).status_code

    assert asked(app, ask) == status


@pytest.mark.parametrize(
    ("host", "on_this_machine", "on_a_network"),
    [
        ("127.0.0.1", True, True),
        ("LOCALHOST:1", True, True),
        ("[::1]:8080", True, True),
        ("192.168.3.4:8080", False, True),
        ("[fe80::1]", False, True),
        ("hub.example", False, True),
        ("evil.example", False, False),
        ("192.168.3.4.evil.example", False, False),
        ("127.1", False, False),
        ("0x7f.1", False, False),
        ("2130706433", False, False),
        ("localhost.", False, False),
        ("localhost@evil.example", False, False),
        ("localhost/evil", False, False),
        ("localhost?evil", False, False),
        ("localhost#evil", False, False),
        ("localhost:port", False, False),
        ("", False, False),
    ],
)
def test_host_names(host: str, on_this_machine: bool, on_a_network: bool) -> None:
    """This machine's services know loopback names alone; others also addresses, which no name server hands out."""
    assert Door().knows_host(host) == on_this_machine
    networked = Door(hosts=[*Door().hosts, "hub.example"], any_address=True)
    assert networked.knows_host(host) == on_a_network


def handshake(app: Any, headers: dict[str, str], path: str = "/socket.io/", *, extended: bool = True) -> list[Message]:
    """Gives what an app sends to a websocket that wants to open."""
    sent: list[Message] = []
    received: Iterator[Message] = iter(
        [{"type": "websocket.connect"}, *({"type": "websocket.disconnect", "code": 1001} for _ in range(9))]
    )

    async def receive() -> Message:
        return next(received)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": path,
        "query_string": b"EIO=4&transport=websocket",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"websocket.http.response": {}} if extended else {},
    }
    asyncio.run(app(scope, receive, send))
    return sent


@pytest.mark.parametrize("extended", [True, False])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1:1", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1:1", "Origin": "null"}, 403),
        ({"Host": "127.0.0.1:1", "Origin": "file://"}, 403),
        ({"Host": "127.0.0.1:1", "Authorization": "Bearer wrong"}, 401),
        ({}, 403),
    ],
    ids=str,
)
def test_foreign_sockets(app: Any, headers: dict[str, str], status: int, extended: bool) -> None:
    """A websocket of a foreign page, under a foreign name or with a wrong token is refused before it opens."""
    sent = handshake(app, headers, extended=extended)
    if extended:
        assert [message["type"] for message in sent] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        assert sent[0]["status"] == status
    else:
        assert [message["type"] for message in sent] == ["websocket.close"]


def test_no_socket_elsewhere(storage: Path) -> None:
    """Nothing but the path of the websocket service takes websockets, and where there is no service, it does not."""
    with_all = create_app(storage, rest=True, sockets=True, board=Board())
    for app, path in [(with_all, "/"), (with_all, "/api/v1/runs"), (create_app(storage, rest=True), "/socket.io/")]:
        sent = handshake(app, {"Host": "127.0.0.1"}, path)
        assert [message["type"] for message in sent] == ["websocket.close"]


def test_without_a_guard(storage: Path) -> None:
    """The control: without the guard, foreign names, pages and people without a token get what they ask for."""
    parts = create_app(storage, rest=True, door=DOOR)
    assert isinstance(parts, Guard)

    async def ask(http: httpx.AsyncClient) -> list[int]:
        url = "/api/v1/runs/run/files/a.yml"
        several: list[dict[str, str]] = [{}, {"Host": "evil.example"}, {"Origin": "http://evil.example"}]
        return [(await http.get(url, headers=headers)).status_code for headers in several]

    assert asked(parts, ask) == [401, 403, 403]
    assert asked(parts.app, ask) == [200, 200, 200]


def test_a_client_that_takes_nothing(storage: Path) -> None:
    """An answer that nobody takes is given up after a while, and holds nothing."""
    app = create_app(storage, rest=True, limits=Limits(stall_s=0.05))

    async def ask() -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            await asyncio.sleep(60)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/health",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1")],
        }
        await app(scope, receive, send)

    asyncio.run(asyncio.wait_for(ask(), 30))
