"""Manifests and hashes of checkpoints' files."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from mlgym.tracking.manifest import read_manifest, sha256_of


@pytest.mark.parametrize(("number", "is_damage"), [(errno.EMFILE, False), (errno.EACCES, False), (errno.EIO, True)])
def test_what_cannot_be_read_now_is_not_taken_for_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_damage: bool
) -> None:
    """Too many open files or a missing permission say nothing of a checkpoint; a bad sector does."""
    path = tmp_path / "manifest.json"
    path.write_text("{}")

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, "refused")

    monkeypatch.setattr(Path, "open", fail)
    monkeypatch.setattr(Path, "read_bytes", fail)
    if is_damage:
        assert (sha256_of(path), read_manifest(path)) == ("missing", {})
        return
    with pytest.raises(OSError, match="refused"):
        sha256_of(path)
    with pytest.raises(OSError, match="refused"):
        read_manifest(path)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """It is no error."""
    assert (sha256_of(tmp_path / "x"), read_manifest(tmp_path / "x")) == ("missing", {})
