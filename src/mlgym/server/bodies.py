"""Bodies of requests, taken in as they come: to a file, as lines of events, or as the one file of a form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from mlgym.events.codec import MAX_LINE_BYTES
from mlgym.events.durable import write_all
from mlgym.server.refusal import RefusedError

_BLOCK_BYTES: Final = 2**20
_MAX_HEADER_BYTES: Final = 8192


class ThreadedWriter:
    """Collects pieces and writes them to a descriptor in another thread, a block at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._block = bytearray()

    async def write(self, piece: bytes) -> None:
        """Takes a piece."""
        self._block += piece
        if len(self._block) >= _BLOCK_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Writes what was taken.

        Raises:
            OSError: the disk refused.
        """
        block, self._block = bytes(self._block), bytearray()
        await asyncio.to_thread(write_all, self._descriptor, block)


async def write_body(request: Request, descriptor: int, max_bytes: int) -> None:
    """Writes a body to a descriptor; where it ends too early, what came of it is written.

    Raises:
        RefusedError: it has more than `max_bytes`; no more than that is written.
        OSError: the disk refused.
        ClientDisconnect: the sender is gone.
    """
    writer = ThreadedWriter(descriptor)
    try:
        async for piece in request.stream():
            max_bytes -= len(piece)
            if max_bytes < 0:
                raise RefusedError(413, "too_large", "the file is larger than this hub takes")
            await writer.write(piece)
    finally:
        await writer.flush()


async def groups_of_lines(request: Request) -> AsyncIterator[list[bytes]]:
    """Yields the lines of a body, those that have come at a time together; the last one needs no newline.

    Raises:
        RefusedError: a line is longer than events may be.
        ClientDisconnect: the sender is gone; an unfinished line is dropped.
    """
    rest = bytearray()
    async for piece in request.stream():
        rest += piece
        end = rest.rfind(b"\n") + 1
        if end and len(rest) >= _BLOCK_BYTES:
            yield _filled(bytes(rest[:end]))
            del rest[:end]
        if len(rest) > MAX_LINE_BYTES + _BLOCK_BYTES:
            raise RefusedError(413, "too_large", f"an event has at most {MAX_LINE_BYTES:,} bytes")
    if rest:
        yield _filled(bytes(rest))


def _filled(text: bytes) -> list[bytes]:
    return [line for line in text.split(b"\n") if line and not line.isspace()]


class FormFile:
    """The one file of a `multipart/form-data` body, found while the body comes in.

    Args:
        content_type: of the body.
        field: the name of the field that has the file.
        on_name: is told the file's name before its first byte.
    """

    def __init__(self, content_type: str, field: str, on_name: Callable[[str], None]) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or b"boundary" not in options:
            raise RefusedError(422, "invalid", f"expected multipart/form-data with a file in `{field}`", path=field)
        self._field = field
        self._on_name = on_name
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value = bytearray(), bytearray()
        self._pieces: list[bytes] = []
        self._num_parts = 0
        self._is_whole = False
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin_part,
                "on_header_field": lambda data, start, end: self._add(self._header, data[start:end]),
                "on_header_value": lambda data, start, end: self._add(self._value, data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": lambda data, start, end: self._pieces.append(data[start:end]),
                "on_end": self._end,
            },
        )

    def feed(self, piece: bytes) -> bytes:
        """Takes a piece of the body and gives what of the file is in it.

        Raises:
            RefusedError: this is no form, or not the one that was expected.
        """
        self._pieces.clear()
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise RefusedError(422, "invalid", f"the form is malformed: {error}", path=self._field) from error
        return b"".join(self._pieces)

    def close(self) -> None:
        """Ends the body.

        Raises:
            RefusedError: the form is not complete, or has no file.
        """
        if not self._is_whole or not self._num_parts:
            raise RefusedError(422, "invalid", f"the form has no complete file in `{self._field}`", path=self._field)

    def _begin_part(self) -> None:
        self._num_parts += 1
        if self._num_parts > 1:
            raise RefusedError(422, "invalid", f"the form has more than the field `{self._field}`", path=self._field)

    def _add(self, text: bytearray, data: bytes) -> None:
        text += data
        if len(text) > _MAX_HEADER_BYTES:
            raise RefusedError(422, "invalid", "a header of the form is too long", path=self._field)

    def _end_header(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if options.get(b"name") != self._field.encode() or b"filename" not in options:
            raise RefusedError(422, "invalid", f"the form has no file in `{self._field}`", path=self._field)
        self._on_name(options[b"filename"].decode(errors="replace"))

    def _end(self) -> None:
        self._is_whole = True
