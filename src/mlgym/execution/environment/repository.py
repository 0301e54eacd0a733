"""The git repository around a config: commit, branch, changes; without secrets, locks or foreign programs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mlgym.reproduction.secrets import mask_text

MAX_DIFF_BYTES: Final = 64 * 1024
MAX_UNTRACKED: Final = 200
_MAX_READ_BYTES: Final = 16 * 1024 * 1024
_TIMEOUT_S: Final = 2.0


def git_state(folder: Path, secrets: Sequence[str] = ()) -> dict[str, Any] | None:
    """Gives the state of the repository around `folder`; None where there is none, or git does not answer in time.

    Args:
        folder: any folder in it.
        secrets: values to be masked wherever they occur.

    Returns:
        `commit`, `branch` and `remote` (None where there is none), `dirty` (tracked files differ from the commit),
        `diff` (masked, cut at 64 KiB of whole lines), `diff_bytes`, `diff_sha256` (both of the whole; None where it is
        too large to read), `untracked` (names, at most 200) and `num_untracked`.
    """
    status = _git(folder, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal")
    if status is None:
        return None
    records = status.decode(errors="replace").split("\0")
    facts = dict(record[2:].split(" ", 1) for record in records if record.startswith("# ") and " " in record[2:])
    commit = facts.get("branch.oid")
    if commit is None or commit == "(initial)":
        return None
    branch = facts.get("branch.head")
    untracked = sorted(record[2:] for record in records if record.startswith("? "))
    dirty = any(record.startswith(("1 ", "2 ", "u ")) for record in records)
    remote = _git(folder, "config", "--get", "remote.origin.url")
    return {
        "commit": commit,
        "branch": None if branch in (None, "(detached)") else mask_text(branch or "", secrets),
        "remote": mask_text(remote.decode(errors="replace").strip(), secrets) if remote else None,
        "dirty": dirty,
        **_changes(folder, secrets, dirty=dirty),
        "untracked": [mask_text(name, secrets) for name in untracked[:MAX_UNTRACKED]],
        "num_untracked": len(untracked),
    }


def _changes(folder: Path, secrets: Sequence[str], *, dirty: bool) -> dict[str, Any]:
    # Programs that the repository's config names for showing a diff are not run.
    whole = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv") if dirty else b""
    if whole is None:
        return {"diff": None, "diff_bytes": None, "diff_sha256": None}
    # Masked before it is cut: a secret that the cut divides would not be known by its form.
    head = whole if len(whole) <= 2 * MAX_DIFF_BYTES else whole[: 2 * MAX_DIFF_BYTES]
    shown = mask_text(head.decode(errors="replace"), secrets)
    if len(whole) > MAX_DIFF_BYTES:
        kept = shown.encode(errors="replace")[:MAX_DIFF_BYTES].decode(errors="ignore")
        shown = kept[: kept.rfind("\n") + 1]
    is_whole = len(whole) < _MAX_READ_BYTES
    return {
        "diff": shown,
        "diff_bytes": len(whole) if is_whole else None,
        "diff_sha256": hashlib.sha256(whole).hexdigest() if is_whole else None,
    }


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Gives what git prints, at most 16 MiB of it; None where it fails or takes too long."""
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        process = subprocess.Popen(  # noqa: S603 - fixed arguments
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
    except OSError:
        return None
    assert process.stdout is not None
    watch = threading.Timer(_TIMEOUT_S, process.kill)
    watch.daemon = True
    watch.start()
    try:
        with process.stdout:
            output = process.stdout.read(_MAX_READ_BYTES)
            if len(output) == _MAX_READ_BYTES:
                process.kill()
                process.wait()
                return output
        return output if process.wait() == 0 else None
    finally:
        watch.cancel()
