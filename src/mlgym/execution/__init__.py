"""Running experiments: executors, the scheduler, and the driver that starts a run or goes on with one; no PyTorch."""

from mlgym.execution.changes import ConfigChangedError
from mlgym.execution.driver import RunSummary, Watch
from mlgym.execution.journal import Observer
from mlgym.execution.launch import launch
from mlgym.execution.options import RunOptions, WorkerCode
from mlgym.execution.resume import HeldRun, hold_run, resume_run
from mlgym.execution.run_record import RunRecord, read_record
from mlgym.execution.scheduler import Counts

__all__ = [
    "ConfigChangedError",
    "Counts",
    "HeldRun",
    "Observer",
    "RunOptions",
    "RunRecord",
    "RunSummary",
    "Watch",
    "WorkerCode",
    "hold_run",
    "launch",
    "read_record",
    "resume_run",
]
