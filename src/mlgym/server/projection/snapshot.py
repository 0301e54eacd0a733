"""A projection as a file, so that a restart reads only what was added to the log since.

A snapshot is never the truth: it is taken only where it was made by the very code that runs now, from a log that begins
and went on in the same way, and where its checksum is right. In all other cases the log is folded from its start.

The file is `MLGYMSNP`, the length of the header (8 bytes), the header (MessagePack), the columns one behind the other
as they lie in memory, and the CRC-32 of all of it (4 bytes); numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
import sys
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, Final, get_type_hints
from zlib import crc32

import msgspec

from mlgym.events import ExperimentState, Measurements, MetricHistory, RunState
from mlgym.events.history import VoidPoint
from mlgym.server.projection.index import LOADS, LogIndex, Mark
from mlgym.server.projection.projection import Projection

_MAGIC: Final = b"MLGYMSNP"
_LENGTH: Final = struct.Struct("<Q")
_CHECKSUM: Final = struct.Struct("<I")
_HEAD_BYTES: Final = 4096
_APART: Final = {"metrics", "measured", "recent_logs", "experiments", "damage"}
_FOLDING: Final = ("codec", "fields", "fold", "history", "quick", "records")
_MEASURED: Final = (("event_ids", "q"), ("times", "d"), ("epochs", "q"), ("steps", "q"))
_INDEX: Final = (
    ("place_ids", "q"), ("place_bytes", "q"), ("place_times", "d"),
    ("line_ids", "q"), ("line_bytes", "q"), ("line_experiments", "q"), ("line_levels", "b"),
    ("load_ids", "q"), ("load_times", "d"), ("load_experiments", "q"), *((name, "d") for name in LOADS),
)  # fmt: skip


class _History(msgspec.Struct, array_like=True):
    key: str
    num_points: int
    void: list[VoidPoint]


class _Experiment(msgspec.Struct, array_like=True):
    facts: msgspec.Raw
    num_rows: int
    metrics: list[_History]


class _Header(msgspec.Struct):
    code: str
    head_sha256: str
    num_bytes: int
    tail: bytes
    last_crc: str | None
    longest_silence_s: float
    run: msgspec.Raw
    experiments: list[_Experiment]
    index_lengths: list[int]
    marks: list[Mark]


_encoder: Final = msgspec.msgpack.Encoder()
_header_decoder: Final = msgspec.msgpack.Decoder(_Header)


def save(projection: Projection, path: Path) -> None:
    """Writes a snapshot, whole or not at all; where that fails there is none.

    Args:
        projection: what to keep; the caller holds it.
        path: where; the folder is made where it is missing.
    """
    pieces = _pieces(projection)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    checksum = 0
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                for piece in pieces:
                    checksum = crc32(piece, checksum)
                    file.write(piece)
                file.write(_CHECKSUM.pack(checksum))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def load(log_path: Path, path: Path) -> Projection | None:
    """Gives the projection of a log as a snapshot has it, still to be refreshed; None where it is of no use."""
    try:
        data = path.read_bytes()
        if data[:8] != _MAGIC or _CHECKSUM.unpack(data[-4:])[0] != crc32(memoryview(data)[:-4]):
            return None
        end = 16 + _LENGTH.unpack(data[8:16])[0]
        header = _header_decoder.decode(memoryview(data)[16:end])
        if header.code != code() or header.head_sha256 != _head_of(log_path, header.num_bytes):
            return None
        return _restored(log_path, header, _Columns(memoryview(data)[end:-4]))
    except (OSError, ValueError, struct.error, msgspec.MsgspecError):
        return None


class _Columns:
    """Takes one column after the other out of the bytes of a snapshot."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def take(self, typecode: str, count: int) -> array[Any]:
        column: array[Any] = array(typecode)
        num_bytes = column.itemsize * count
        piece = self._data[self._position : self._position + num_bytes]
        if len(piece) != num_bytes:
            raise ValueError("the snapshot is too short")
        column.frombytes(piece)
        self._position += num_bytes
        return column


def _pieces(projection: Projection) -> Iterator[bytes | memoryview]:
    experiments = projection.state.experiments
    header = _encoder.encode(
        _Header(
            code=code(),
            head_sha256=_head_of(projection.path, projection.num_bytes),
            num_bytes=projection.num_bytes,
            tail=projection.tail,
            last_crc=projection.last_crc,
            longest_silence_s=projection.longest_silence_s,
            run=_facts(projection.state, _RUN),
            experiments=[
                _Experiment(
                    _facts(one, _EXPERIMENT),
                    len(one.measured),
                    [_History(key, len(each), each.void) for key, each in one.metrics.items()],
                )
                for one in experiments.values()
            ],
            index_lengths=[len(getattr(projection.index, name)) for name, _ in _INDEX],
            marks=projection.index.marks,
        )
    )
    yield _MAGIC
    yield _LENGTH.pack(len(header))
    yield header
    for name, _ in _INDEX:
        yield getattr(projection.index, name).tobytes()
    for experiment in experiments.values():
        for name, _ in _MEASURED:
            yield getattr(experiment.measured, name).tobytes()
        for each in experiment.metrics.values():
            yield each.rows.tobytes()
            yield each.values.tobytes()


def _restored(log_path: Path, header: _Header, columns: _Columns) -> Projection:
    index = LogIndex(marks=header.marks)
    for (name, typecode), length in zip(_INDEX, header.index_lengths, strict=True):
        setattr(index, name, columns.take(typecode, length))
    state = RunState()
    _restore_facts(state, _RUN, header.run)
    for stored in header.experiments:
        experiment = ExperimentState(0)
        _restore_facts(experiment, _EXPERIMENT, stored.facts)
        for name, typecode in _MEASURED:
            setattr(experiment.measured, name, columns.take(typecode, stored.num_rows))
        for one in stored.metrics:
            rows, values = columns.take("I", one.num_points), columns.take("d", one.num_points)
            _check_rows(rows, stored.num_rows)
            experiment.metrics[one.key] = MetricHistory(experiment.measured, rows, values, one.void)
        state.experiments[experiment.experiment_id] = experiment
    projection = Projection(log_path)
    projection.state = state
    projection.index = index
    projection.num_bytes, projection.tail = header.num_bytes, header.tail
    projection.last_crc, projection.longest_silence_s = header.last_crc, header.longest_silence_s
    return projection


def _check_rows(rows: array[int], num_rows: int) -> None:
    if rows and rows[-1] >= num_rows:
        raise ValueError("the snapshot does not fit itself")


def _head_of(log_path: Path, num_bytes: int) -> str:
    with log_path.open("rb") as file:
        return hashlib.sha256(file.read(min(_HEAD_BYTES, num_bytes))).hexdigest()


@cache
def code() -> str:
    """Gives a hash of everything that decides what a log comes to."""
    modules = [f"{Measurements.__module__.rpartition('.')[0]}.{name}" for name in _FOLDING]
    modules += [LogIndex.__module__, __name__]
    digest = hashlib.sha256(f"{sys.byteorder} {sys.version_info[:2]}".encode())
    for name in modules:
        digest.update(Path(str(sys.modules[name].__file__)).read_bytes())
    return digest.hexdigest()


def _stored_type(kind: type[RunState] | type[ExperimentState]) -> type[msgspec.Struct]:
    """Gives a struct with the fields of a state, as far as they are not columns."""
    hints = get_type_hints(kind)
    names = [one.name for one in fields(kind) if one.name not in _APART]
    return msgspec.defstruct(f"_{kind.__name__}", [(name, hints[name]) for name in names], array_like=True)


_RUN: Final = _stored_type(RunState)
_EXPERIMENT: Final = _stored_type(ExperimentState)


def _facts(state: object, kind: type[msgspec.Struct]) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(kind(*(getattr(state, name) for name in kind.__struct_fields__))))


def _restore_facts(state: object, kind: type[msgspec.Struct], facts: msgspec.Raw) -> None:
    stored = msgspec.msgpack.decode(facts, type=kind)
    for name in kind.__struct_fields__:
        setattr(state, name, getattr(stored, name))
