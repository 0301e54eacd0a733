"""Brings a run back from an archive: everything is verified aside before any of it gets its place."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlgym.api.archive import (
    CODE,
    DATA,
    MANIFEST,
    MAX_BYTES,
    MAX_MANIFEST_BYTES,
    README,
    REQUIREMENTS,
    RUN,
    Manifest,
    Member,
    checked_manifest,
)
from mlgym.errors import RunError
from mlgym.execution.run_record import unpacked_code_folder
from mlgym.names import DEFAULT_STORAGE
from mlgym.tracking import RunFolder
from mlgym.tracking.manifest import sha256_of

_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """Where a run came to lie.

    Args:
        folder: the run.
        code: its user modules, with the README and the list of packages.
        data: files of data that were added.
        left_out: what the archive does not have, in words.
    """

    folder: RunFolder
    code: Path
    data: tuple[Path, ...]
    left_out: tuple[str, ...]


def unpack(archive: str | Path, to: str | Path = ".", *, max_bytes: int = MAX_BYTES) -> Unpacked:
    """Puts a packed run into `event_storage` below a folder, its code beside that, and data where the config wants it.

    Nothing is overwritten, nothing of the archive is executed, and on an error nothing is left behind.

    Args:
        archive: what `pack` wrote.
        to: the folder from which to go on, made where it is missing.
        max_bytes: what the files may have together.

    Raises:
        RunError: the archive is damaged, was changed, has members that an archive may not have, is too large, or
            something is there already.
    """
    archive, to = Path(archive), Path(to).absolute()
    if not archive.is_file():
        raise RunError(f"`{archive}`: no such file; give an archive that `mlgym pack` wrote")
    try:
        to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=to) as aside:
            manifest = _extract(archive, Path(aside), max_bytes)
            return _place(manifest, Path(aside), to)
    except OSError as error:
        raise RunError(f"`{archive}` cannot be unpacked into `{to}`: {error.strerror or error}") from error


def _extract(archive: Path, aside: Path, max_bytes: int) -> Manifest:
    """Writes the members of an archive below a folder, each as the manifest has it."""
    try:
        with zipfile.ZipFile(archive) as packed:
            manifest = _read_manifest(packed)
            total = sum(member.bytes for member in manifest.members.values())
            if total > max_bytes:
                raise RunError(f"the archive has {total:,} bytes of files, more than {max_bytes:,}")
            prefix = f"{manifest.run_id}/"
            _refuse_other_members(packed, {f"{prefix}{name}" for name in (*manifest.members, MANIFEST)})
            for name, member in manifest.members.items():
                _write(packed, prefix + name, member, aside / name)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise RunError(f"`{archive}` is no archive of a run, or is damaged: {error}") from error
    return manifest


def _read_manifest(packed: zipfile.ZipFile) -> Manifest:
    found = [info for info in packed.infolist() if info.filename.count("/") == 1 and info.filename.endswith(MANIFEST)]
    if len(found) != 1 or found[0].file_size > MAX_MANIFEST_BYTES:
        raise RunError(f"this is no archive of a run: it has no `{MANIFEST}`")
    with packed.open(found[0]) as file:
        manifest = checked_manifest(file.read(MAX_MANIFEST_BYTES))
    if found[0].filename != f"{manifest.run_id}/{MANIFEST}":
        raise RunError(f"the archive was changed: {found[0].filename!r} is the manifest of run `{manifest.run_id}`")
    return manifest


def _refuse_other_members(packed: zipfile.ZipFile, expected: set[str]) -> None:
    names = [info.filename for info in packed.infolist()]
    for info in packed.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir() or kind not in (0, stat.S_IFREG):
            raise RunError(f"the archive is refused: {info.filename[:200]!r} is a folder, link or other special file")
    strange = next((name for name in names if name not in expected), None)
    if strange is not None:
        raise RunError(f"the archive was changed: {strange[:200]!r} is not in its manifest")
    if len(names) != len(set(names)):
        raise RunError("the archive was changed: it has members of the same name")


def _write(packed: zipfile.ZipFile, name: str, member: Member, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    hasher = hashlib.sha256()
    rest = member.bytes
    try:
        content = packed.open(name)
    except KeyError:
        raise RunError(f"the archive is damaged: {name!r} is missing") from None
    with content, path.open("xb") as file:
        # One byte more than there should be is asked for, so that too much shows, but never read on.
        while rest >= 0 and (chunk := content.read(min(_CHUNK_BYTES, rest + 1))):
            rest -= len(chunk)
            hasher.update(chunk)
            file.write(chunk)
    if rest != 0 or hasher.hexdigest() != member.sha256:
        raise RunError(f"the archive was changed or is damaged: {name!r} is not what its manifest says")


def _place(manifest: Manifest, aside: Path, to: Path) -> Unpacked:
    """Gives everything its place, the run last: once it is there, all of it is."""
    folder = RunFolder(to / DEFAULT_STORAGE, manifest.run_id)
    code = unpacked_code_folder(folder)
    for place in (folder.path, code):
        if place.exists() or place.is_symlink():
            raise RunError(f"`{place}` is there already; unpack into another folder with `--to DIR`")
    data = _data_to_move(manifest, aside, to)
    (aside / CODE).mkdir(exist_ok=True)
    for name in (README, REQUIREMENTS):
        if (aside / name).exists():
            (aside / name).replace(aside / CODE / name)
    moved: list[Path] = []
    try:
        for source, target in [*data, (aside / CODE, code), (aside / RUN, folder.path)]:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
            moved.append(target)
    except OSError:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    return Unpacked(
        folder=folder, code=code, data=tuple(target for _, target in data), left_out=tuple(manifest.left_out)
    )


def _data_to_move(manifest: Manifest, aside: Path, to: Path) -> list[tuple[Path, Path]]:
    """Gives from where to where files of data go; equal ones that are there stay."""
    found = []
    for name, member in manifest.members.items():
        if not name.startswith(f"{DATA}/"):
            continue
        target = to / name.removeprefix(f"{DATA}/")
        if not target.resolve().is_relative_to(to.resolve()):
            raise RunError(f"`{target}` leads out of `{to}` by a symbolic link; unpack into another folder")
        if not target.exists():
            found.append((aside / name, target))
        elif not (target.is_file() and target.stat().st_size == member.bytes and sha256_of(target) == member.sha256):
            raise RunError(
                f"`{target}` is there already with other content; unpack into another folder with `--to DIR`"
            )
    return found
