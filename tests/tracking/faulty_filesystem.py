"""A filesystem of `fsspec` on a local folder that loses, spoils or refuses what it is told to, under `faulty://`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem


class FaultyFileSystem(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """See the module.

    Attributes:
        is_down: whether everything is refused.
        dies_in: part of a path; a write there stops halfway, and raises.
        loses: part of a path; what is written there is never seen again, and nobody is told.
        spoils: part of a path; what is written there has other bytes, and nobody is told.
        num_writes: of whole files.
    """

    protocol: ClassVar[str] = "faulty"
    is_down: ClassVar[bool] = False
    dies_in: ClassVar[str | None] = None
    loses: ClassVar[str | None] = None
    spoils: ClassVar[str | None] = None
    num_writes: ClassVar[int] = 0

    @classmethod
    def heal(cls) -> None:
        """Takes all faults away."""
        cls.is_down, cls.dies_in, cls.loses, cls.spoils, cls.num_writes = False, None, None, None, 0

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return LocalFileSystem._strip_protocol(str(path).removeprefix("faulty://"))

    def ls(self, path: str, detail: bool = False, **options: Any) -> Any:
        """Lists, where it is not down."""
        self._refuse_if_down()
        return super().ls(path, detail=detail, **options)

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> Any:
        self._refuse_if_down()
        if "w" in mode:
            return _Writing(Path(path), type(self))
        return super()._open(path, mode, block_size=block_size, **options)

    def _refuse_if_down(self) -> None:
        if self.is_down:
            raise RuntimeError("the network is away")  # filesystems raise whatever they like, not OSError alone


class _Writing:
    def __init__(self, path: Path, faults: type[FaultyFileSystem]) -> None:
        self._path, self._faults, self._content = path, faults, b""

    def __enter__(self) -> _Writing:
        return self

    def write(self, content: bytes) -> int:
        self._content += content
        if self._is(self._faults.dies_in):
            self._path.write_bytes(self._content[: len(self._content) // 2])
            raise RuntimeError("the connection was reset")
        return len(content)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if error is not None or self._is(self._faults.loses):
            return
        if self._is(self._faults.spoils):
            self._content = self._content[:-1] + bytes([self._content[-1] ^ 1])
        self._faults.num_writes += 1
        self._path.write_bytes(self._content)

    def _is(self, part: str | None) -> bool:
        return part is not None and part in str(self._path)


fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
