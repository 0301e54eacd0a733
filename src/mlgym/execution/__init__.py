"""Running experiments: executors, the scheduler, and the driver that launches a run. Imports no PyTorch."""

from mlgym.execution.driver import RunOptions, RunSummary, WorkerCode, launch
from mlgym.execution.journal import Observer
from mlgym.execution.scheduler import Counts

__all__ = ["Counts", "Observer", "RunOptions", "RunSummary", "WorkerCode", "launch"]
