"""Who may run code on a cluster: tokens, and whether a cluster asks for them.

Whoever reaches an unprotected Ray cluster runs code on it, and on the machine of every driver that attaches to it.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from mlgym.errors import RunError

MODE_VARIABLE: Final = "RAY_AUTH_MODE"
TOKEN_VARIABLE: Final = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of one
TOKEN_PATH_VARIABLE: Final = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 - as above
_DEFAULT_TOKEN_FILE: Final = Path(".ray") / "auth_token"
_PROBE_S: Final = 30.0
_CONNECT_S: Final = 10.0
_TAKES_ANYBODY: Final = 10
_REFUSES: Final = 11
# A stranger's question to the head, in a process of its own: Ray keeps the first token that a process has used.
_PROBE: Final = f"""
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).internal_kv_keys(b"", b"mlgym", 10)
except AuthenticationError:
    sys.exit({_REFUSES})
sys.exit({_TAKES_ANYBODY})
"""


def write_token(folder: Path) -> Path:
    """Makes a token that nobody has, in a file that only this user reads.

    Args:
        folder: takes the file.
    """
    path = folder / "auth_token"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    return path


def token_file() -> Path:
    """Gives the file in which Ray looks for a token, where there is none in a variable."""
    named = os.environ.get(TOKEN_PATH_VARIABLE)
    return Path(named) if named else Path.home() / _DEFAULT_TOKEN_FILE


def require_token() -> None:
    """Sees to it that this process has a token to show.

    Raises:
        RunError: there is none where Ray looks for it.
    """
    if not os.environ.get(TOKEN_VARIABLE) and not token_file().is_file():
        raise RunError(
            f"there is no token for the Ray cluster: neither in `{TOKEN_VARIABLE}`, nor in {token_file()}. Put the "
            "cluster's there (`ray get-auth-token` prints it on its head), or pass `--insecure-cluster` where the "
            "cluster asks for none and nobody else reaches it"
        )


def refuse_open_cluster(address: str) -> None:
    """Keeps this process from a cluster that lets anybody in.

    Args:
        address: `host:port` of its head.

    Raises:
        RunError: it answers a wrong token as it would the right one, or not at all.
    """
    _require_answer(address)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    environment |= {MODE_VARIABLE: "token", TOKEN_VARIABLE: secrets.token_hex(32), "RAY_BACKEND_LOG_LEVEL": "fatal"}
    command = [sys.executable, "-c", _PROBE, address]
    try:
        asked = subprocess.run(  # noqa: S603 - this interpreter
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PROBE_S
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"no Ray cluster answers at {address} within {_PROBE_S:g} s") from None
    if asked.returncode == _TAKES_ANYBODY:
        raise RunError(
            f"the Ray cluster at {address} takes everybody who reaches it: whoever does so runs code on it, with your "
            f"data and in your name. Start it with `{MODE_VARIABLE}=token`, or attach all the same with "
            "`--insecure-cluster`"
        )
    if asked.returncode != _REFUSES:
        reason = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RunError(f"no Ray cluster answers at {address}: {reason}")


def answers(address: str, timeout_s: float) -> bool:
    """Tells whether somebody listens at `host:port`."""
    try:
        _touch(address, timeout_s)
    except (OSError, ValueError):
        return False
    return True


def _require_answer(address: str) -> None:
    # Ray would go on trying for a minute.
    try:
        _touch(address, _CONNECT_S)
    except (OSError, ValueError) as error:
        raise RunError(
            f"no Ray cluster answers at {address}: {error}. `ray start --head` prints the address of its cluster"
        ) from error


def _touch(address: str, timeout_s: float) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()
