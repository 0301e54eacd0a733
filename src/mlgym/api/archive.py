"""The form of a packed run: which members an archive has, what they may be called, and what its manifest says.

An archive is a zip file. Its manifest lists all other members, which are regular files: `run/...` (files of the run
folder), `code/...` (user modules), `data/...` (by their path from the working directory), `requirements.txt` and
`README.md`. All names lie below a folder that is called like the run.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

import msgspec

from mlgym.errors import InvalidNameError, RunError
from mlgym.names import LOG_FILE, safe_name

FORMAT: Final = 1
SUFFIX: Final = ".zip"
MANIFEST: Final = "manifest.json"
README: Final = "README.md"
REQUIREMENTS: Final = "requirements.txt"
RUN, CODE, DATA = "run", "code", "data"
MAX_MANIFEST_BYTES: Final = 64 * 1024 * 1024
MAX_MEMBERS: Final = 200_000
MAX_BYTES: Final = 64 * 1024**3
_MAX_PART_BYTES: Final = 255
_MAX_PARTS: Final = 32
_CODE_SUFFIXES: Final = (".py", ".pyc", ".pyd", ".so", ".pth")


class Member(msgspec.Struct, frozen=True):
    """A file in an archive.

    Args:
        bytes: its size.
        sha256: its hash (hex).
    """

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, kw_only=True, frozen=True):
    """What an archive holds.

    Args:
        format: version of the form of archives.
        run_id: the run.
        mlgym: version that packed it.
        members: every other file, by its name below the run's folder.
        left_out: what was not packed though the run may need it, in words.
    """

    format: int
    run_id: str
    mlgym: str
    members: dict[str, Member]
    left_out: list[str] = []


def checked_manifest(content: bytes) -> Manifest:
    """Gives the manifest of an archive when everything that it announces may be unpacked.

    Raises:
        RunError: it is no manifest, of a newer form, too large, or has names that may not become paths.
    """
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RunError(f"this is no archive of a run: its manifest cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise RunError(f"the archive has form {manifest.format}, and this version of MLgym reads form {FORMAT}")
    try:
        safe_name(manifest.run_id, "run id")
    except InvalidNameError as error:
        raise RunError(f"the archive is refused: {error}") from error
    if len(manifest.members) > MAX_MEMBERS:
        raise RunError(f"the archive has {len(manifest.members):,} files, more than {MAX_MEMBERS:,}")
    if any(member.bytes < 0 for member in manifest.members.values()):
        raise RunError("the archive is refused: its manifest has a size below 0")
    refuse_bad_names(manifest.members)
    if f"{RUN}/{LOG_FILE}" not in manifest.members:
        raise RunError(f"the archive has no `{RUN}/{LOG_FILE}`, so it is no run")
    return manifest


def refuse_bad_names(names: Iterable[str]) -> None:
    """Refuses names of members that may not become paths, on any file system.

    Raises:
        RunError: one leads elsewhere, is reserved, hidden or unprintable, or is another one on some file systems.
    """
    seen: dict[str, str] = {}
    for name in names:
        complaint = _complaint(name)
        if complaint:
            raise RunError(f"the archive is refused: member {name[:200]!r} {complaint}")
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen:
            raise RunError(
                f"the archive is refused: members {seen[folded]!r} and {name!r} are one file on some systems"
            )
        seen[folded] = name
    for folded, name in seen.items():
        above = next((str(parent) for parent in PurePosixPath(folded).parents if str(parent) in seen), None)
        if above is not None:
            raise RunError(f"the archive is refused: {seen[above]!r} is a file, and {name!r} lies in it")


def _complaint(name: str) -> str | None:
    """Gives what is wrong with a name; None for nothing."""
    if name in (README, REQUIREMENTS):
        return None
    kind, _, rest = name.partition("/")
    parts = rest.split("/")
    if kind not in (RUN, CODE, DATA) or not rest:
        return f"is none of `{RUN}/...`, `{CODE}/...`, `{DATA}/...`, `{README}`, `{REQUIREMENTS}`"
    if len(parts) > _MAX_PARTS or any(len(part.encode("utf-8", "replace")) > _MAX_PART_BYTES for part in parts):
        return "is too long"
    if kind == RUN:
        return _run_complaint(rest, parts)
    for part in parts:
        if part in ("", ".", "..") or part.startswith((".", "~")) or part.endswith((".", " ")):
            return "has a part that is empty, hidden or leads elsewhere"
        if any(mark in part for mark in '\\:*?"<>|') or not part.isprintable():
            return "has a mark that no file name should have"
    if kind == DATA and parts[-1].lower().endswith(_CODE_SUFFIXES):
        return "is code, which is no data"
    return None


def _run_complaint(rest: str, parts: list[str]) -> str | None:
    if rest == LOG_FILE:
        return None
    try:
        for part in parts:
            safe_name(part, "file name")
    except InvalidNameError as error:
        return f"may not be: {error}"
    return None
