"""Tokens, and which ports are open to others."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlgym.errors import RunError
from mlgym.execution.ray import security
from mlgym.execution.ray.listening import descendants, open_ports


def test_a_token_is_for_its_user_alone(tmp_path: Path) -> None:
    """The file is never open to others, not even while it is written, and no two tokens are alike."""
    first = security.write_token(tmp_path)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert len(first.read_text()) == 64
    (tmp_path / "other").mkdir()
    assert security.write_token(tmp_path / "other").read_text() != first.read_text()
    with pytest.raises(FileExistsError):
        security.write_token(tmp_path)


def test_a_token_is_looked_for_where_ray_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the variable, in the file that another one names, in the home folder; else the error says so."""
    for name in (security.TOKEN_VARIABLE, security.TOKEN_PATH_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RunError, match=r"neither in `RAY_AUTH_TOKEN`, nor in .*/\.ray/auth_token.*--insecure-cluster"):
        security.require_token()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("x")
    security.require_token()
    monkeypatch.setenv(security.TOKEN_PATH_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(RunError, match="nowhere"):
        security.require_token()
    monkeypatch.setenv(security.TOKEN_VARIABLE, "x")
    security.require_token()


def test_where_nobody_listens_that_is_said_at_once() -> None:
    """Ray itself would try for a minute."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(RunError, match=f"no Ray cluster answers at 127.0.0.1:{port}: .*refused.*ray start --head"):
            security.refuse_open_cluster(f"127.0.0.1:{port}")
    with pytest.raises(RunError, match="no Ray cluster answers at nonsense"):
        security.refuse_open_cluster("nonsense")


def test_ports_that_others_reach_are_told_from_loopback() -> None:
    """By address and owner: those of this process, IPv4 and IPv6, but none on loopback."""
    families = [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::")]
    sockets = [socket.socket(family) for family, _ in families]
    try:
        for each, (_, host) in zip(sockets, families, strict=True):
            each.bind((host, 0))
            each.listen()
        ports = [each.getsockname()[1] for each in sockets]
        found = open_ports([os.getpid()])
        assert ports[0] in found
        assert ports[1] not in found
        assert ports[2] in found
        assert open_ports([]) == []
    finally:
        for each in sockets:
            each.close()


def test_descendants_are_found_over_generations() -> None:
    """A child's child belongs to the tree of a process."""
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        try:
            assert {os.getpid(), child.pid, grandchild} <= set(descendants(os.getpid()))
            assert descendants(grandchild) == [grandchild]
        finally:
            os.kill(grandchild, 9)
            child.kill()
