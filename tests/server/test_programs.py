"""The programs: their older options, what they say when they start, who is let in on which address, idle clients."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest

from mlgym.events import EventLog, Producer
from mlgym.server import board_service, rest_service
from mlgym.server.serving import Address, ServiceError, checked_origin
from mlgym.server.tokens import TokenError, Tokens
from mlgym.tracking import create_run_folder
from tests.events.samples import log_event
from tests.server.service import ALL, Service, free_port
from tests.waiting import wait_for

SECRET = "a-secret-of-twenty-or-more"


@contextmanager
def started(*command: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A program that runs, and the lines it says until it serves."""
    variables = {key: value for key, value in os.environ.items() if key != "MLGYM_TOKEN"} | environment
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True, env=variables)
    assert process.stderr is not None
    lines: list[str] = []
    try:
        while not re.search(r"Ctrl-C|runs in .*$|MLboard: .*run_id=", line := process.stderr.readline()):
            assert line, lines
            lines.append(line.rstrip("\n"))
        lines.append(line.rstrip("\n"))
        yield process, lines
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def ask(url: str, token: str | None = None) -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with httpx.Client(trust_env=False, timeout=60, headers=headers) as client:
        for _ in range(600):
            try:
                return client.get(url).status_code
            except httpx.TransportError:
                time.sleep(0.05)
    raise AssertionError(f"nothing answers at {url}")


def test_board_serves_all(tmp_path: Path) -> None:
    """One port has the page, the REST service and the websocket service, and asks for nothing on this machine."""
    with Service(tmp_path / "storage", program=ALL) as service:
        assert ask(f"{service.url}/") == 200
        assert ask(f"{service.url}/api/v1/health") == 200
        assert ask(f"{service.url}/socket.io/?EIO=4&transport=polling") == 200
        code, said = service.stop()
    assert code == 0
    assert said.splitlines() == [f"MLboard: {service.url}/", f"runs in {service.storage}; Ctrl-C ends it"]


def test_no_torch(tmp_path: Path) -> None:
    """Starting and answering imports no torch, scikit-learn or matplotlib, which would take seconds."""
    program = ["-X", "importtime", "-m", "mlgym", "board", "--port", "0", "--storage", str(tmp_path)]
    with started(*program) as (process, lines):
        url = next(line for line in lines if line.startswith("MLboard")).removeprefix("MLboard: ")
        assert ask(f"{url}api/v1/health") == 200
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in [*lines, *said.splitlines()]}
    assert "fastapi" in imported
    assert not imported & {"torch", "sklearn", "matplotlib", "scipy", "pandas", "polars"}


def test_on_a_network(tmp_path: Path) -> None:
    """On another address everybody is asked for a token; it is told once, to whoever started the service."""
    with started("-m", "mlgym", "board", "--port", "0", "--host", "0.0.0.0", "--storage", str(tmp_path)) as (
        process,
        lines,
    ):
        link, write, read = lines[0], lines[1].split()[-1], lines[2].split()[-1]
        assert link.endswith(f"/#token={write}")
        port = urlsplit(link.removeprefix("MLboard: ")).port
        health = f"http://127.0.0.1:{port}/api/v1/health"
        assert [ask(health), ask(health, "wrong"), ask(health, read), ask(health, write)] == [401, 401, 200, 200]
        assert ask(f"http://127.0.0.1:{port}/") == 200
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert write not in said
    assert read not in said


def test_a_token_of_the_environment(tmp_path: Path) -> None:
    """A secret that was given is asked for and never said; `mlgym token` gives those that go with it."""
    options: dict[str, Any] = {"options": ["--require_token"], "environment": {"MLGYM_TOKEN": SECRET}}
    with Service(tmp_path / "storage", **options) as service:
        url = f"{service.url}/api/v1/runs/run/events"
        line = b'{"event_type": "x", "payload": {}}'
        tokens = Tokens(SECRET)
        statuses = [
            httpx.post(
                url, content=line, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
            ).status_code
            for token in ("wrong", tokens.read, tokens.of_run("other"), tokens.of_run("run"), SECRET)
        ]
        assert statuses == [401, 403, 403, 200, 200]
        _, said = service.stop()
    assert SECRET not in said
    assert "write token" not in said
    environment = {**os.environ, "MLGYM_TOKEN": SECRET}
    for arguments, expected in ((["token"], tokens.read), (["token", "--run", "run"], tokens.of_run("run"))):
        printed = subprocess.run(
            [sys.executable, "-m", "mlgym", *arguments], capture_output=True, text=True, check=True, env=environment
        )
        assert printed.stdout == f"{expected}\n"


@pytest.mark.slow
def test_sync_with_a_token(tmp_path: Path) -> None:
    """What sends runs shows the token of its environment; without one, or with a lesser one, it says so."""
    folder = create_run_folder(tmp_path / "local", "run")
    with EventLog.open(folder.log_path) as log:
        log.append([Producer().event(msgspec.structs.replace(log_event(), grid_search_id="run"))])
    tokens = Tokens(SECRET)
    options: dict[str, Any] = {"options": ["--require_token"], "environment": {"MLGYM_TOKEN": SECRET}}
    with Service(tmp_path / "hub", **options) as service:
        command = [sys.executable, "-m", "mlgym", "sync", "run", "--to", service.url, "--storage", str(folder.storage)]
        for token, code, said in (
            ("", 2, "set MLGYM_TOKEN"),
            (tokens.read, 2, "to read only"),
            (tokens.of_run("other"), 2, "for the run `other` only"),
            (tokens.of_run("run"), 0, "sent 1 events"),
        ):
            environment = {**os.environ, "MLGYM_TOKEN": token}
            ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr
            assert not token or token not in ended.stdout + ended.stderr
    copy = tmp_path / "hub" / "run" / "event_storage.log"
    assert copy.read_bytes() == folder.log_path.read_bytes()


@pytest.mark.parametrize(
    ("host", "is_near"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.0.1", False),
        ("localhost.evil.example", False),
        ("::ffff:8.8.8.8", False),
    ],
)
def test_which_addresses_are_near(host: str, is_near: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where nobody else can come is nobody asked for a token."""
    monkeypatch.delenv("MLGYM_TOKEN", raising=False)
    assert (Address(host=host, port=1).door().tokens is None) == is_near
    assert Address(host=host, port=1, require_token=True).door().tokens is not None
    monkeypatch.setenv("MLGYM_TOKEN", "guess")
    if not is_near:
        with pytest.raises(TokenError):
            Address(host=host, port=1).door()


def test_origins() -> None:
    """By default the usual address of `ml_board` may use a service of this machine, and nobody that of a network."""
    assert set(Address(port=1).door().origins) == {"http://127.0.0.1:8080", "http://localhost:8080"}
    assert set(Address(port=1, host="10.0.0.1", require_token=True).door().origins) == set()
    assert set(Address(port=1, origins=["http://A.b:1/c?d"]).door().origins) == {"http://a.b:1"}
    for wrong in ("*", "null", "", "a.b:1", "file:///x", "javascript:alert(1)", "http://", "http://a@b", "http://a:b"):
        with pytest.raises(ServiceError):
            checked_origin(wrong)


def test_board_link(capfd: pytest.CaptureFixture[str]) -> None:
    """`ml_board` takes its older options and prints the link that opens the run; its page may talk to both services."""
    rest, sockets = "http://127.0.0.1:5001", "http://127.0.0.1:7000"
    with started(
        *("-m", "mlgym.server.board_service", "--ml_board_host", "127.0.0.1", "--ml_board_port", "0"),
        *("--rest_endpoint", rest, "--ws_endpoint", sockets, "--run_id", "2026-11-23--16-14-30"),
    ) as (_, lines):
        link = urlsplit(lines[-1].removeprefix("MLboard: "))
        assert parse_qs(link.query) == {
            "rest_endpoint": [rest],
            "ws_endpoint": [sockets],
            "run_id": ["2026-11-23--16-14-30"],
        }
        assert link.query.startswith(f"rest_endpoint={rest}&ws_endpoint={sockets}&run_id=")
        policy = httpx.get(f"http://{link.netloc}/", trust_env=False, timeout=60).headers["Content-Security-Policy"]
        for origin in (rest, sockets, "ws://127.0.0.1:7000"):
            assert origin in policy


@pytest.mark.parametrize(
    ("main", "arguments", "said"),
    [
        (board_service.main, ["--rest_endpoint", "evil", "--ws_endpoint", "http://a"], "`evil` is no origin"),
        (board_service.main, ["--ws_endpoint", "http://a"], "--rest_endpoint"),
        (rest_service.main, ["--port", "99999"], "choose another port"),
        (rest_service.main, [], "--port"),
        (rest_service.main, ["--port", "0", "--cors_allowed_origins", "*"], "name the pages"),
        (rest_service.main, ["--port", "0", "--event_storage_path", "/dev/null/x"], "cannot be made"),
    ],
)
def test_wrong_options(
    main: object, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What cannot be done ends with exit code 2 and a sentence, before anything is served."""
    assert callable(main)
    if main is rest_service.main and "--event_storage_path" not in arguments:
        arguments = [*arguments, "--event_storage_path", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_port_in_use(tmp_path: Path) -> None:
    """A port that somebody has is named, with what to do."""
    with Service(tmp_path / "storage") as service:
        ended = subprocess.run(
            [sys.executable, "-m", "mlgym", "board", "--port", str(service.port), "--storage", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 2
    assert "choose another port" in ended.stderr
    assert "Traceback" not in ended.stderr


_BOUNDED = """
    import sys
    from pathlib import Path
    from mlgym.server import Limits, create_app
    from mlgym.server.serving import Address, listen, say, serve
    limits = Limits(wait_s=float(sys.argv[3]), connections=8)
    listening = listen(Address(port=int(sys.argv[1])))
    say("Ctrl-C")
    serve(create_app(Path(sys.argv[2]), rest=True, limits=limits), listening, limits)
"""


def connections(port: int, first: bytes, more: bytes = b"") -> tuple[int, float]:
    """Opens connections that send nothing but this, dribbling; gives how many were closed, and after how long (s)."""
    began = time.monotonic()
    several = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
    for one in several:
        one.settimeout(0.2)
        one.sendall(first)
    num_closed = 0
    while several and time.monotonic() - began < 120:
        for one in list(several):
            try:
                if more:
                    one.sendall(more)
                is_closed = not one.recv(1000)
            except TimeoutError:
                is_closed = False
            except OSError:
                is_closed = True
            if is_closed:
                several.remove(one)
                one.close()
                num_closed += 1
    return num_closed, time.monotonic() - began


def is_hung_up(connection: socket.socket) -> bool:
    """Tells whether the other side has closed a connection over which it says nothing."""
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.slow
def test_connections_that_say_nothing(tmp_path: Path) -> None:
    """Connections without a request, with a request that never ends or comes byte by byte are closed; 8 is the most."""
    port = free_port()
    with started("-c", textwrap.dedent(_BOUNDED), str(port), str(tmp_path), "0.6"):
        assert ask(f"http://127.0.0.1:{port}/api/v1/health") == 200
        for first, more in ((b"", b""), (b"GET /", b""), (b"GET / HTTP/1.1\r\nX: ", b"y")):
            num_closed, _ = connections(port, first, more)
            assert num_closed == 4, first
        assert ask(f"http://127.0.0.1:{port}/api/v1/health") == 200
    with started("-c", textwrap.dedent(_BOUNDED), str(port), str(tmp_path), "60"):
        assert ask(f"http://127.0.0.1:{port}/api/v1/health") == 200
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        wait_for(lambda: sum(map(is_hung_up, held)) >= 12)
        time.sleep(0.5)
        assert sum(map(is_hung_up, held)) == 12
        for one in held:
            one.close()
        assert ask(f"http://127.0.0.1:{port}/api/v1/health") == 200
