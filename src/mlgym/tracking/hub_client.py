"""Talking to a hub's REST service: requests that are tried again, files that go on where they were cut off."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from mlgym.errors import HubError
from mlgym.events.codec import is_whole
from mlgym.names import TOKEN_VARIABLE
from mlgym.tracking.backoff import Backoff
from mlgym.tracking.manifest import FileEntry, sha256_of

_T = TypeVar("_T")

CHUNK_BYTES: Final = 8 * 2**20
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0
_TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
# The checkpoint may be large, and the hub reads all of it before it answers.
_FINISH_TIMEOUT: Final = httpx.Timeout(600.0, connect=5.0)
_PASSING: Final = (408, 425, 429, 502, 503, 504)
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class RunHead(msgspec.Struct):
    """What a hub has of the log of a run.

    Args:
        num_events: how many events.
        last_crc: the checksum of the last one.
        is_live: whether more may come.
        has_sender: whether the driver of the run is connected, or has announced itself.
    """

    num_events: int
    last_crc: str | None
    is_live: bool = False
    has_sender: bool = False


class HubListing(msgspec.Struct):
    """A complete checkpoint or artifact on a hub."""

    experiment_id: int
    name: str
    files: dict[str, FileEntry]


class HubClient:
    """A hub, for one thread at a time.

    Attributes:
        url: its address.
        bytes_sent: of files and events, those that had to be sent again included.
        on_bytes: is told of bytes that were sent or received, as they are; None for nobody.
    """

    def __init__(self, url: str, *, patience_s: float = 10.0, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Makes a client; connects when it is used.

        Args:
            url: `http://HOST:PORT`.
            patience_s: how long a request is tried again while the hub does not answer, in s.
            goes_on: asked between requests; once it says False, what is under way ends with a `HubError`.

        Raises:
            HubError: this is no address of a hub, or `MLGYM_TOKEN` is no token.
        """
        self.url = checked_url(url)
        self.bytes_sent = 0
        self.on_bytes: Callable[[int], None] | None = None
        self._patience_s = patience_s
        self._goes_on = goes_on
        is_near = urlsplit(self.url).hostname in _LOOPBACK
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1/", headers=authorization(), timeout=_TIMEOUT, trust_env=not is_near
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._http.close()

    def head(self, run_id: str) -> RunHead | None:
        """Gives what the hub has of a log; None where it does not know the run."""
        answer = self._request("GET", f"runs/{run_id}", missing_ok=True)
        return None if answer is None else _parsed(answer, RunHead)

    def announce(self, run_id: str, for_s: float) -> bool:
        """Says that a run goes on, and tells whether the hub knows the run, and such an announcement.

        Args:
            run_id: the run.
            for_s: how long it goes on at least, in s, though nothing may come of it; 0 where it has ended.
        """
        body = msgspec.json.encode({"for_s": for_s})
        answer = self._request(
            "PUT", f"runs/{run_id}/sender", missing_ok=True, content=body, headers=_typed("application/json")
        )
        return answer is not None

    def send_events(self, run_id: str, lines: bytes, *, start: int | None) -> int:
        """Sends lines of a log and gives how many the hub did not have.

        Args:
            run_id: the run.
            lines: whole lines, in the form that travels.
            start: how many events the hub must have for this to be right; None for any.
        """
        params = {} if start is None else {"from": start}
        answer = self._request(
            "POST", f"runs/{run_id}/events", params=params, content=lines, headers=_typed("application/x-ndjson")
        )
        self._count(len(lines))
        return _parsed(answer, _Received).num_stored

    def event_lines(self, run_id: str, start: int = 0) -> Generator[bytes, None, None]:
        """Yields the lines of the log as it stands, from an event on.

        Raises:
            HubError: it ended too early, or one of them is no event.
        """
        number, rest = start, b""
        for piece in self.event_pieces(run_id, start):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield self._checked(line + b"\n", number)
                number += 1
        if rest:
            self._checked(rest, number)

    def _checked(self, line: bytes, number: int) -> bytes:
        if not is_whole(line):
            raise HubError(f"line {number + 1} of the log that the hub {self.url} sent is no event", code="cut_off")
        return line

    def event_pieces(self, run_id: str, start: int = 0) -> Iterator[bytes]:
        """Yields the log as it stands, from an event on, in pieces that end anywhere.

        Raises:
            HubError: it ended too early.
        """
        try:
            with self._http.stream("GET", f"runs/{run_id}/events", params={"from": start}) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise self._error(answer)
                for piece in answer.iter_bytes():
                    self._tell(len(piece))
                    yield piece
        except httpx.HTTPError as error:
            raise HubError(str(self._unreachable(error)), code="cut_off") from error

    def files(self, run_id: str) -> dict[str, FileEntry]:
        """Gives size and hash of the configs and records on the hub; none where it does not know the run."""
        answer = self._request("GET", f"runs/{run_id}/files", missing_ok=True)
        return {} if answer is None else _parsed(answer, dict[str, FileEntry])

    def put_file(self, run_id: str, name: str, content: bytes) -> None:
        """Writes a config or record."""
        self._request("PUT", f"runs/{run_id}/files/{name}", content=content, headers=_typed("application/octet-stream"))
        self._count(len(content))

    def checkpoints(self, run_id: str) -> list[HubListing]:
        """Gives the complete checkpoints on the hub; none where it does not know the run."""
        return self._listing(f"runs/{run_id}/checkpoints")

    def artifacts(self, run_id: str) -> list[HubListing]:
        """Gives the complete artifacts on the hub; none where it does not know the run."""
        return self._listing(f"runs/{run_id}/artifacts")

    def _listing(self, url_path: str) -> list[HubListing]:
        answer = self._request("GET", url_path, missing_ok=True)
        return [] if answer is None else _parsed(answer, list[HubListing])

    def delete_checkpoint(self, run_id: str, experiment_id: int, name: str) -> None:
        """Removes a checkpoint, or what was sent of one, where there is any."""
        self._request("DELETE", f"runs/{run_id}/checkpoints/{experiment_id}/{name}", missing_ok=True)

    def send_folder(self, run_id: str, experiment_id: int, folder: Path, files: Mapping[str, FileEntry]) -> None:
        """Sends a checkpoint or artifact: of each file what the hub does not have of it, then the manifest.

        Raises:
            HubError: the hub refuses; with `status` 422 where a file here is not what its manifest says.
            OSError: a file here cannot be read.
        """
        with ExitStack() as opened:
            contents = {file: opened.enter_context((folder / file).open("rb")) for file in files}
            self.send_files(run_id, experiment_id, folder.name, contents, files)

    def send_files(
        self,
        run_id: str,
        experiment_id: int,
        name: str,
        contents: Mapping[str, BinaryIO],
        files: Mapping[str, FileEntry],
    ) -> None:
        """Sends a checkpoint or artifact of that name from open files; see `send_folder`."""
        base = f"runs/{run_id}/uploads/{experiment_id}/{name}"
        for is_last in (False, True):
            for file in files:
                self._send_file(f"{base}/{file}", contents[file])
            try:
                self._finish(base, files)
                return
            except HubError as error:
                # An upload that was begun with another content does not match: the hub has thrown it away.
                if error.status != 422 or is_last:
                    raise

    def download(self, url_path: str, target: Path, expected: FileEntry) -> None:
        """Brings a file, going on with what `target` has of it already.

        Args:
            url_path: below `/api/v1`.
            target: where it goes.
            expected: its size and hash.

        Raises:
            HubError: the hub does not have it, or what came is not what was expected, and then nothing of it is left.
        """
        give_up_at = time.monotonic() + self._patience_s
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while (there := target.stat().st_size if target.exists() else 0) < expected.bytes or not target.exists():
            try:
                self._append(url_path, target, there, expected.bytes)
                give_up_at = time.monotonic() + self._patience_s
            except httpx.HTTPError as error:
                if time.monotonic() > give_up_at or not self._goes_on():
                    raise self._unreachable(error) from error
                time.sleep(backoff.next_s())
        actual = sha256_of(target)
        if actual != expected.sha256:
            target.unlink()
            text = f"`{url_path}` of {self.url} has sha256 {actual}, but should have {expected.sha256}"
            raise HubError(text, code="mismatch")

    def _append(self, url_path: str, target: Path, there: int, num_bytes: int) -> None:
        if not num_bytes:
            target.touch()
            return
        with self._http.stream("GET", url_path, headers={"Range": f"bytes={there}-"}) as answer:
            if answer.status_code not in (200, 206):
                answer.read()
                raise self._error(answer)
            with target.open("ab" if answer.status_code == 206 else "wb") as file:
                for piece in answer.iter_bytes():
                    file.write(piece)
                    self._tell(len(piece))
                    if file.tell() > num_bytes:
                        raise HubError(f"`{url_path}` of {self.url} is longer than the {num_bytes:,} bytes announced")

    def _send_file(self, url_path: str, file: BinaryIO) -> None:
        offset = self._offset(url_path)
        while chunk := _chunk_at(file, offset):
            offset = self._send_chunk(url_path, chunk, offset)
        if not offset:
            self._send_chunk(url_path, b"", 0)

    def _send_chunk(self, url_path: str, chunk: bytes, offset: int) -> int:
        """Sends a piece of a file and gives where the hub wants to go on; after a failure it is asked."""
        headers = {"Upload-Offset": str(offset), **_typed("application/octet-stream")}
        try:
            answer = self._request("PATCH", url_path, content=chunk, headers=headers, once=True)
        except HubError as error:
            if error.status is not None and error.status not in _PASSING and error.code != "offset_mismatch":
                raise
            return self._offset(url_path)
        self._count(len(chunk))
        return _parsed(answer, _Offset).offset

    def _offset(self, url_path: str) -> int:
        return _parsed(self._request("GET", url_path), _Offset).offset

    def _finish(self, url_path: str, files: Mapping[str, FileEntry]) -> None:
        content = msgspec.json.encode({"files": dict(files)})
        self._request("POST", url_path, content=content, headers=_typed("application/json"), timeout=_FINISH_TIMEOUT)

    def _request(
        self, method: str, url_path: str, *, missing_ok: bool = False, once: bool = False, **options: Any
    ) -> httpx.Response | None:
        """Sends a request until it is answered, for as long as patience lasts.

        Args:
            method: of HTTP.
            url_path: below `/api/v1`.
            missing_ok: give None where the hub answers 404.
            once: raise at the first failure, unless there is no connection at all.
            options: of httpx.

        Raises:
            HubError: no answer, or a refusal.
        """
        give_up_at = time.monotonic() + self._patience_s
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            try:
                answer = self._http.request(method, url_path, **options)
                if answer.is_success:
                    return answer
                if answer.status_code == 404 and missing_ok:
                    return None
                failure = self._error(answer)
                may_repeat = answer.status_code in _PASSING or failure.code in ("busy", "in_use")
            except httpx.HTTPError as error:
                failure, may_repeat = self._unreachable(error), not once or isinstance(error, httpx.ConnectError)
            if not may_repeat or time.monotonic() > give_up_at or not self._goes_on():
                raise failure
            time.sleep(backoff.next_s())

    def _count(self, num_bytes: int) -> None:
        self.bytes_sent += num_bytes
        self._tell(num_bytes)

    def _tell(self, num_bytes: int) -> None:
        if self.on_bytes is not None:
            self.on_bytes(num_bytes)
        if not self._goes_on():
            raise HubError(f"the transfer with the hub {self.url} was cut short")

    def _error(self, answer: httpx.Response) -> HubError:
        try:
            refusal = msgspec.json.decode(answer.content, type=_Refusal).error
        except msgspec.MsgspecError:
            refusal = _Reason(code="", message=f"HTTP status {answer.status_code}")
        text = f"the hub {self.url} refuses: {refusal.message}"
        return HubError(text, status=answer.status_code, code=refusal.code)

    def _unreachable(self, error: httpx.HTTPError) -> HubError:
        return HubError(f"the hub {self.url} does not answer ({str(error) or type(error).__name__})")


def authorization(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Gives the header with the token of `MLGYM_TOKEN`, without space around it; nothing where there is none.

    Raises:
        HubError: it cannot stand in a header. What it is, is not said: messages end up in logs.
    """
    token = environment.get(TOKEN_VARIABLE, "").strip()
    if not all("!" <= letter <= "~" for letter in token):
        raise HubError(f"{TOKEN_VARIABLE} is no token: one is a single word of ASCII letters, digits and signs")
    return {"Authorization": f"Bearer {token}"} if token else {}


def checked_url(url: str) -> str:
    """Gives the address of a hub without a slash at its end.

    Raises:
        HubError: it is none.
    """
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or parts.query or parts.fragment:
        raise HubError(f"`{url}` is no address of a hub: expected http://HOST:PORT")
    return url.rstrip("/")


def without_user(url: str) -> str:
    """Gives an address without the user and password in it, for records."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class _Received(msgspec.Struct):
    num_stored: int


class _Offset(msgspec.Struct):
    offset: int


class _Reason(msgspec.Struct):
    code: str
    message: str


class _Refusal(msgspec.Struct):
    error: _Reason


def _parsed(answer: httpx.Response | None, kind: type[_T]) -> _T:
    assert answer is not None
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.MsgspecError as error:
        raise HubError(f"{answer.url} answers what no hub does ({error}); is it one?") from error


def _chunk_at(file: BinaryIO, offset: int) -> bytes:
    file.seek(offset)
    return file.read(CHUNK_BYTES)


def _typed(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type}
