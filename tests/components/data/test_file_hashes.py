"""Hashes of files: right, remembered by stamp, and right again whatever happens to what is remembered."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

import pytest

from mlgym.components.data import file_hashes
from mlgym.components.data.file_hashes import hashes_of_files
from mlgym.errors import DataError

LONG_AGO = 1_700_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mlgym" / "file_hashes"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text(path.name)
        os.utime(path, (LONG_AGO, LONG_AGO))
    return paths


def hashes(*texts: str) -> list[str]:
    return [hashlib.sha256(text.encode()).hexdigest() for text in texts]


def change_secretly(path: Path, text: str) -> None:
    """Changes a file in place without changing its stamp, which only somebody who wants it can do."""
    with path.open("r+") as file:
        file.write(text)
    os.utime(path, (LONG_AGO, LONG_AGO))


def test_hashes_are_in_the_order_of_the_paths(files: list[Path]) -> None:
    """Each path has its hash at its place, also when it comes twice."""
    assert hashes_of_files([files[1], files[0], files[1]]) == hashes("b", "a", "b")


def test_an_unchanged_file_is_not_read_again(files: list[Path]) -> None:
    """As long as size, time and inode stay the same, the remembered hash is given: the second time reads nothing."""
    hashes_of_files(files)
    change_secretly(files[0], "x")
    assert hashes_of_files(files) == hashes("a", "b")


def test_a_changed_file_is_read_again(files: list[Path], tmp_path: Path) -> None:
    """Another size, another time, or another file in its place: each gives the new hash."""
    hashes_of_files(files)
    files[0].write_text("longer")
    os.utime(files[0], (LONG_AGO, LONG_AGO))
    assert hashes_of_files(files) == hashes("longer", "b")
    files[1].write_text("c")
    assert hashes_of_files(files) == hashes("longer", "c")
    other = tmp_path / "other"
    other.write_text("d")
    os.utime(other, ns=(files[1].stat().st_atime_ns, files[1].stat().st_mtime_ns))
    other.replace(files[1])
    assert hashes_of_files(files) == hashes("longer", "d")


def test_a_fresh_file_is_not_remembered(tmp_path: Path) -> None:
    """A file that was just written may change again within the clock's grain, so its hash is not kept."""
    path = tmp_path / "fresh"
    path.write_text("a")
    written_at = time.time_ns() + 10**12  # stays a moment ago, however slow this test is
    stamp = written_at, written_at
    os.utime(path, ns=stamp)
    hashes_of_files([path])
    with path.open("r+") as file:
        file.write("b")
    os.utime(path, ns=stamp)
    assert hashes_of_files([path]) == hashes("b")


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "binary", "other json", "no checksum"])
def test_a_damaged_cache_is_harmless(files: list[Path], cache: Path, damage: str) -> None:
    """Whatever happened to the cache, the hashes are right, and it is whole again afterwards."""
    hashes_of_files(files)
    (remembered,) = cache.iterdir()
    good = remembered.read_bytes()
    checksum, _, text = good.partition(b"\n")
    remembered.write_bytes(
        {
            "empty": b"",
            "cut": good[:-10],
            "flipped": checksum + b"\n" + text.replace(hashes("a")[0].encode(), hashes("z")[0].encode()),
            "binary": b"\xff\x00" * 50,
            "other json": hashlib.sha256(b"[1]").hexdigest().encode() + b"\n[1]",
            "no checksum": text,
        }[damage]
    )
    assert hashes_of_files(files) == hashes("a", "b")
    assert remembered.read_bytes() == good


def test_a_cache_out_of_reach_is_harmless(files: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cache folder is a file, or there is no home folder, nothing is remembered and nothing fails."""
    cache.parent.mkdir(parents=True)
    cache.write_text("a file in the way")
    assert hashes_of_files(files) == hashes("a", "b")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("nobody")))
    assert hashes_of_files(files) == hashes("a", "b")


def test_it_leaves_no_parts_behind_and_is_private(files: list[Path], cache: Path) -> None:
    """The cache is written whole under a name of its own first; only its owner reads it."""
    hashes_of_files(files)
    (remembered,) = cache.iterdir()
    assert remembered.suffix == ".json"
    assert stat.S_IMODE(remembered.stat().st_mode) == 0o600


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that cannot be read is an error with its path."""
    with pytest.raises(DataError, match="gone: cannot be read: No such file"):
        hashes_of_files([tmp_path / "gone"])


def test_control_without_stamps(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stamp that ignores time, a changed file of equal size and inode is missed: the stamp is what protects."""
    monkeypatch.setattr(file_hashes, "_stamp", lambda path: (path.stat().st_size, 0, path.stat().st_ino))
    hashes_of_files(files)
    files[0].write_text("x")
    assert hashes_of_files(files) == hashes("a", "b")
