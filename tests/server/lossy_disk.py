"""A file system over FUSE that loses what was not synced when its power is cut, and tears the last write.

Run as `python -m tests.server.lossy_disk MOUNT_POINT`. Writing anything to the file `.cut` in it cuts the power: files
go back to what was synced of them plus a random part of what was written since, names to those of synced folders. All
of it is in memory.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import os
import random
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CUT = "/.cut"


@dataclass(eq=False)
class Node:
    """A file or folder: as it is now, as it is on the disk, and what lies between (writes, and lengths of cuts)."""

    number: int
    mode: int
    now: bytearray = field(default_factory=bytearray)
    kept: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)
    changed_at: int = field(default_factory=time.time_ns)


def apply(content: bytearray, change: tuple[int, bytes] | int) -> None:
    if isinstance(change, int):
        del content[change:]
        content.extend(bytes(change - len(content)))
    else:
        offset, data = change
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data


class LossyDisk:
    """The operations, by path, as mfusepy calls them."""

    use_ns = True

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._numbers = itertools.count(1)
        self._names: dict[str, Node] = {"/": self._node(stat.S_IFDIR | 0o755)}
        self._kept_names = dict(self._names)
        self._open: dict[int, Node] = {}
        self._handles = itertools.count(1)

    def cut(self) -> None:
        for node in self._kept_names.values():
            num_written = self._rng.randint(0, len(node.pending))
            for change in node.pending[:num_written]:
                apply(node.kept, change)
            for change in node.pending[num_written : num_written + 1]:
                if not isinstance(change, int):
                    apply(node.kept, (change[0], change[1][: self._rng.randint(0, len(change[1]))]))
            node.now = bytearray(node.kept)
            node.pending.clear()
        self._names = dict(self._kept_names)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        node = self._at(path, fh)
        times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), node.changed_at)
        size = len(node.now)
        return {"st_ino": node.number, "st_mode": node.mode, "st_nlink": 1, "st_size": size, **times}

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, Any], int]]:
        # With their numbers: entries without one are passed over.
        return [(name.rpartition("/")[2], self.getattr(name), 0) for name in self._below(self._names, path)]

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._names[path] = self._node(stat.S_IFREG | mode)
        return self.open(path, 0)

    def open(self, path: str, flags: int) -> int:
        handle = next(self._handles)
        self._open[handle] = self._at(path)
        return handle

    def release(self, path: str, fh: int) -> int:
        del self._open[fh]
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._at(path, fh).now[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if path == CUT:
            self.cut()
            return len(data)
        self._change(self._at(path, fh), (offset, bytes(data)))
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._change(self._at(path, fh), length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        node = self._at(path, fh)
        for change in node.pending:
            apply(node.kept, change)
        node.pending.clear()
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        for name in self._below(self._kept_names, path):
            del self._kept_names[name]
        for name in self._below(self._names, path):
            self._kept_names[name] = self._names[name]
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self._names[path] = self._node(stat.S_IFDIR | mode)
        return 0

    def unlink(self, path: str) -> int:
        del self._names[path]
        return 0

    rmdir = unlink

    def rename(self, old: str, new: str) -> int:
        self._names[new] = self._names.pop(old)
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 2**20, "f_bavail": 2**20, "f_bfree": 2**20}

    def _node(self, mode: int) -> Node:
        return Node(next(self._numbers), mode)

    def _at(self, path: str, fh: int | None = None) -> Node:
        import mfusepy

        node = self._open.get(fh or 0) or self._names.get(path)
        if node is None:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return node

    def _below(self, names: dict[str, Node], path: str) -> list[str]:
        return [name for name in names if name != "/" and (name.rpartition("/")[0] or "/") == path]

    def _change(self, node: Node, change: tuple[int, bytes] | int) -> None:
        apply(node.now, change)
        node.pending.append(change)
        node.changed_at = time.time_ns()


class NoLossyDiskError(Exception):
    """Such a disk cannot be had here."""


@contextmanager
def lossy_disk(mount_point: Path) -> Iterator[Path]:
    """Gives a folder on such a disk, durably there.

    Raises:
        NoLossyDiskError: mfusepy, libfuse or /dev/fuse is missing.
    """
    mount_point.mkdir()
    command = [sys.executable, "-m", "tests.server.lossy_disk", str(mount_point)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        give_up_at = time.monotonic() + 120
        while not mount_point.is_mount():
            if process.poll() is not None or time.monotonic() > give_up_at:
                process.kill()
                said = process.communicate()[1].strip().splitlines()
                raise NoLossyDiskError(f"no file system over FUSE: {said[-1] if said else 'it does not appear'}")
            time.sleep(0.02)
        storage = mount_point / "storage"
        storage.mkdir()
        descriptor = os.open(mount_point, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        yield storage
    finally:
        unmount = shutil.which("fusermount3") or shutil.which("fusermount")
        subprocess.run([unmount, "-uz", mount_point] if unmount else ["umount", "-l", mount_point], check=False)
        process.kill()
        process.communicate()


def cut_power(storage: Path) -> None:
    """Cuts the power of the disk on which a folder is; nobody may be writing to it."""
    (storage.parent / CUT[1:]).write_bytes(b"now")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mount_point")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    import mfusepy

    options = {"attr_timeout": 0, "entry_timeout": 0, "use_ino": True, "direct_io": True}
    mfusepy.FUSE(LossyDisk(given.seed), given.mount_point, foreground=True, nothreads=True, **options)


if __name__ == "__main__":
    main()
