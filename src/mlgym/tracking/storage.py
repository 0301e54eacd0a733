"""The storage folder: making a run, finding one again, listing them all."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from mlgym.errors import InvalidNameError, MlgymError, RunError
from mlgym.events import read_log
from mlgym.events.durable import fsync_folder
from mlgym.names import did_you_mean, run_id_at, safe_name
from mlgym.tracking.run_folder import RunFolder

LATEST: Final = "latest"
"""Stands for the newest run wherever a run id is asked for; for one that repeats another only where no other is."""


def create_run_folder(storage: Path, run_id: str | None = None) -> RunFolder:
    """Makes the folder of a new run, with an empty log, and the storage folder where it is missing.

    Args:
        storage: the folder of all runs.
        run_id: the name wanted; by default the time of day, with `-1`, `-2` ... where it is taken.

    Raises:
        InvalidNameError: the run id is not allowed.
        RunError: it exists, or the folder cannot be made.
    """
    if run_id is not None and safe_name(run_id, "run id") == LATEST:
        raise InvalidNameError(f"run id `{LATEST}` is reserved: it stands for the newest run")
    generated = run_id_at(datetime.now())
    wanted = [run_id] if run_id is not None else _with_suffixes(generated)
    try:
        storage.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            folder = RunFolder(storage, name)
            try:
                folder.path.mkdir()
            except FileExistsError:
                continue
            _create_empty(folder.log_path)
            fsync_folder(folder.path)
            fsync_folder(storage)
            return folder
    except OSError as error:
        reason = f"`{error.filename}` is a file" if isinstance(error, FileExistsError) else error.strerror
        raise RunError(
            f"no run folder can be made in `{storage}`: {reason}; name a folder that can be written with `--storage`"
        ) from error
    raise RunError(f"run `{run_id}` exists already in `{storage}`; choose another id, or resume it")


def find_run(storage: Path, run_id: str) -> RunFolder:
    """Gives the run of an id.

    Args:
        storage: the folder of all runs.
        run_id: the whole id, the beginning of exactly one, or `latest`.

    Raises:
        InvalidNameError: the text can be no run id.
        RunError: there is no such run, several begin so, or it leads out of the storage folder.
    """
    safe_name(run_id, "run id")
    if run_id != LATEST and RunFolder(storage, run_id).log_path.is_file():
        return _checked(RunFolder(storage, run_id))
    runs = list_runs(storage)
    if not runs:
        raise RunError(
            f"there are no runs in `{storage}`: start one with `mlgym run CONFIG`, or name a folder by `--storage`"
        )
    if run_id == LATEST:
        # Reproducing a run, and all the more bisecting, leaves runs behind which nobody means by that.
        return next((run for run in runs if not _repeats_another(run)), runs[0])
    ids = [run.run_id for run in runs]
    matching = [known for known in ids if known.startswith(run_id)]
    if len(matching) > 1:
        raise RunError(f"`{run_id}` is the beginning of {len(matching)} runs: {', '.join(matching[:12])}")
    if not matching:
        raise RunError(f"there is no run `{run_id}` in `{storage}`{did_you_mean(run_id, ids)}")
    return RunFolder(storage, matching[0])


def list_runs(storage: Path) -> list[RunFolder]:
    """Gives the runs of a storage folder, the newest first; folders that are no runs are passed over.

    Raises:
        RunError: the storage folder cannot be read; a missing one has no runs.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(storage))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(
            f"`{storage}` cannot be read: {error.strerror}; `--storage` takes the folder with one folder per run"
        ) from error
    runs = [RunFolder(storage, name) for name in names if _is_run(storage, name)]
    return sorted(runs, key=lambda run: (_started_at(run), run.run_id), reverse=True)


def _with_suffixes(name: str) -> Iterator[str]:
    yield name
    for number in itertools.count(1):
        yield f"{name}-{number}"


def _create_empty(path: Path) -> None:
    # A folder with a log is a run, from its first moment on.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))


def _is_run(storage: Path, name: str) -> bool:
    try:
        folder = RunFolder(storage, safe_name(name))
        return folder.log_path.is_file() and bool(_checked(folder))
    except (MlgymError, OSError):
        return False


def _checked(folder: RunFolder) -> RunFolder:
    """Gives the folder back when neither it nor its log leads elsewhere by a symbolic link."""
    if not folder.log_path.resolve().is_relative_to(folder.storage.resolve()):
        raise RunError(f"run `{folder.run_id}` leads out of `{folder.storage}` by a symbolic link")
    return folder


def _started_at(run: RunFolder) -> float:
    """Gives when a run began, in s since the epoch: its first event, or its log's last change where it has none."""
    try:
        created = _first_event(run).get("creation_ts")
        if isinstance(created, int | float):
            return created / 1e6
        return run.log_path.stat().st_mtime
    except (MlgymError, OSError, OverflowError):
        return 0.0


def _repeats_another(run: RunFolder) -> bool:
    try:
        payload = _first_event(run).get("payload")
    except (MlgymError, OSError):
        return False
    return isinstance(payload, dict) and payload.get("reproduces") is not None


def _first_event(run: RunFolder) -> dict[str, Any]:
    """Gives the first event of a log; an empty one where there is none.

    Raises:
        EventLogError, OSError: the log cannot be read.
    """
    first = next(iter(read_log(run.log_path)), None)
    return first.event if first is not None else {}
