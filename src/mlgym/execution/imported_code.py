"""Which version of the user's code a process has imported, and whether it is the one that the driver recorded.

A process that is started later than its driver - a task of a cluster, one that comes out of its queue again, a fork
server that takes the place of a lost one - imports the files as they are by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from mlgym.events import CodeChanged, Difference, EventSink
from mlgym.execution.environment.user_modules import user_modules
from mlgym.execution.job import Job

_Key: TypeAlias = tuple[tuple[str, ...], Path, Path | None]
_imported: dict[_Key, dict[str, dict[str, str]]] = {}


def note_import(imports: Sequence[str], folder: str | None, main_script: str | None) -> None:
    """Takes note of the files of the user's code that this process has just imported; forked ones inherit it.

    Files may be edited as soon as they are read: what is hashed later is not what runs.

    Args:
        imports: names of the user's modules, as the config has them.
        folder: where the config lies.
        main_script: the program where the config uses components of it.
    """
    key = _key(imports, folder, main_script)
    if key not in _imported:
        _imported[key] = user_modules(key[1], imports, key[2])


def tell_other_code(job: Job, sink: EventSink) -> bool:
    """Tells where the user's code is not what the driver recorded, once this process has imported it.

    Returns:
        Whether the experiment goes on with other code than it had before: what comes need not repeat what was.
    """
    note_import(job.imports, job.folder, job.main_script)
    changes = [
        Difference("code", name, job.code[name], file["sha256"], True, f"`{file['path']}` was edited meanwhile")
        for name, file in _imported[_key(job.imports, job.folder, job.main_script)].items()
        if job.code.get(name, file["sha256"]) != file["sha256"]
    ]
    if changes:
        sink.emit(
            CodeChanged(
                grid_search_id=job.run_id, experiment_id=job.experiment_id, attempt=job.attempt, changes=changes
            )
        )
    return job.attempt > 0 and {each.key: each.new for each in changes} != job.code_before


def _key(imports: Sequence[str], folder: str | None, main_script: str | None) -> _Key:
    place = Path(folder).absolute() if folder else Path.cwd()
    return tuple(imports), place, Path(main_script).absolute() if main_script else None
