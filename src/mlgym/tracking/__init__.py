"""Where runs are kept: the storage folder and the folder of one run."""

from mlgym.tracking.atomic import write_atomically
from mlgym.tracking.run_folder import RunFolder
from mlgym.tracking.storage import LATEST, create_run_folder, find_run, list_runs

__all__ = [
    "LATEST",
    "RunFolder",
    "create_run_folder",
    "find_run",
    "list_runs",
    "write_atomically",
]
