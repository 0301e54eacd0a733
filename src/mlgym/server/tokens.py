"""Who may use a service: its tokens, and what each of them allows.

There is one secret, the write token. The read token and the tokens that write a single run are computed from it, so
that services of one storage folder agree without sharing a file, and nothing can be computed back.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from mlgym.errors import MlgymError
from mlgym.names import TOKEN_VARIABLE, safe_name
from mlgym.server.refusal import RefusedError

ACCESS_KEY: Final = "mlgym.access"
TOKENS_KEY: Final = "mlgym.tokens"
_MIN_LENGTH: Final = 20
_MAX_LENGTH: Final = 512
_READ: Final = "mlgym-read-"
_RUN: Final = "mlgym-run-"
_asker: Final[ContextVar[Access | None]] = ContextVar("asker", default=None)


class TokenError(MlgymError):
    """A token that cannot be used to protect a service."""


@dataclass(frozen=True, slots=True)
class Access:
    """What whoever asks may do.

    Args:
        may_write: whether anything may be changed.
        run_id: the only run that may be seen or changed; None for all of them.
    """

    may_write: bool
    run_id: str | None = None

    def allows(self, run_id: str | None, *, write: bool) -> bool:
        """Tells whether something may be done.

        Args:
            run_id: the run it is about; None for what concerns all of them.
            write: whether it changes anything.
        """
        return (self.may_write or not write) and self.run_id in (None, run_id)


FULL_ACCESS: Final = Access(may_write=True)
"""Of everybody, where a service asks for no token."""


class Tokens:
    """The tokens of a service.

    Attributes:
        write: allows everything.
        read: allows to see everything.
        is_new: whether they were made just now, so that nobody knows them yet.
    """

    def __init__(self, write: str, *, is_new: bool = False) -> None:
        """Computes all tokens.

        Args:
            write: the write token: 20 to 512 printable ASCII characters.
            is_new: whether it was made just now.

        Raises:
            TokenError: it is too short to be safe, cannot stand in a header, or was computed from another one: whoever
                may only read there could write here.
        """
        if write.startswith((_READ, _RUN)):
            raise TokenError(
                f"this token allows to read or to write one run only, and none can be made of it: set {TOKEN_VARIABLE} "
                "to the write token, or leave it out to have one made"
            )
        if not _MIN_LENGTH <= len(write) <= _MAX_LENGTH or not write.isascii() or not _is_one_word(write):
            raise TokenError(
                f"a token has {_MIN_LENGTH} to {_MAX_LENGTH} letters, digits and signs, without spaces; "
                f"leave {TOKEN_VARIABLE} out to have one made"
            )
        self.write = write
        self.is_new = is_new
        # Slow on purpose: whoever holds a token that is computed from it can try out words in its place.
        self._key = hashlib.scrypt(write.encode(), salt=b"mlgym tokens", n=2**14, r=8, p=1, dklen=32)
        self.read = f"{_READ}{self._signature('read')}"

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Tokens:
        """Gives the tokens that belong to `MLGYM_TOKEN`, or new ones where it is not set.

        Raises:
            TokenError: it is set to something unsafe.
        """
        write = environment.get(TOKEN_VARIABLE)
        return cls(write) if write else cls(f"mlgym-write-{secrets.token_urlsafe(32)}", is_new=True)

    def of_run(self, run_id: str) -> str:
        """Gives the token that allows to see and write one run, for a worker or a machine that is trusted no further.

        Raises:
            InvalidNameError: it can be no run id.
        """
        return self._of_run(safe_name(run_id, "run id"))

    def access(self, token: str) -> Access | None:
        """Gives what a token allows; None where it is none of these. The time it takes tells nothing about them."""
        given = token[: 2 * _MAX_LENGTH].encode(errors="replace")
        run_id = token[: 2 * _MAX_LENGTH].partition(".")[2]
        found = None
        for expected, access in (
            (self.write, FULL_ACCESS),
            (self.read, Access(may_write=False)),
            (self._of_run(run_id), Access(may_write=True, run_id=run_id)),
        ):
            if hmac.compare_digest(given, expected.encode(errors="replace")):
                found = access
        return found

    def _of_run(self, run_id: str) -> str:
        return f"{_RUN}{self._signature('run', run_id)}.{run_id}"

    def _signature(self, *words: str) -> str:
        return hmac.digest(self._key, "\0".join(words).encode(errors="replace"), "sha256").hex()


def _is_one_word(text: str) -> bool:
    return text.isprintable() and " " not in text


def admit(scope: MutableMapping[str, Any], tokens: Tokens | None, authorization: str | None) -> Access | None:
    """Notes in the scope of a connection what it may do, and gives it.

    Args:
        scope: of ASGI.
        tokens: those of the service; None where it asks for none.
        authorization: the header of that name.

    Returns:
        None where a token is needed and none that is right was given; a socket can still bring one when it connects.
    """
    access: Access | None = FULL_ACCESS
    if tokens is not None:
        scheme, _, token = (authorization or "").partition(" ")
        access = tokens.access(token.strip()) if scheme.lower() == "bearer" else None
    scope[ACCESS_KEY], scope[TOKENS_KEY] = access, tokens
    _asker.set(access)
    return access


def check_asker(run_id: str) -> None:
    """Checks that whoever the current request is of may see a run, wherever in the request it was named.

    Raises:
        RefusedError: their token is for another run.
    """
    access = _asker.get()
    if access is not None and not access.allows(run_id, write=False):
        raise RefusedError(403, "foreign_run", f"this token is for the run `{access.run_id}` only")


def socket_access(scope: Mapping[str, Any], auth: object) -> Access | None:
    """Gives what a socket that connects may do; None where it has to be refused.

    Args:
        scope: of ASGI, after the guard (`environ["asgi.scope"]` of python-socketio).
        auth: what the client sent to authenticate itself, `{"token": ...}`. Browsers can send a token there only, since
            they let no page set the headers of a websocket.
    """
    # Without a guard before it there is nothing here, and nobody may do anything.
    access: Access | None = scope.get(ACCESS_KEY)
    tokens: Tokens | None = scope.get(TOKENS_KEY)
    if access is None and tokens is not None and isinstance(auth, dict) and isinstance(auth.get("token"), str):
        return tokens.access(auth["token"])
    return access
