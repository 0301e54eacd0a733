"""Where the user's modules of a run are, for whoever builds its components again."""

from __future__ import annotations

from pathlib import Path

from mlgym.errors import RunError
from mlgym.execution.run_record import read_record, unpacked_code_folder
from mlgym.tracking import RunFolder


def code_folder(folder: RunFolder) -> Path | None:
    """Gives the folder in which a run's user modules are looked for first; None where it is unknown or gone.

    Args:
        folder: the run; one that came out of an archive has its code beside its storage folder.
    """
    try:
        return read_record(folder).code_folder(folder)
    except RunError:
        unpacked = unpacked_code_folder(folder)
        return unpacked if unpacked.is_dir() else None
