"""Running experiments: executors, the scheduler, and the driver that starts a run or goes on with one; no PyTorch."""

from mlgym.execution.driver import RunSummary, Watch
from mlgym.execution.journal import Observer
from mlgym.execution.launch import launch
from mlgym.execution.options import RunOptions, WorkerCode
from mlgym.execution.scheduler import Counts

__all__ = ["Counts", "Observer", "RunOptions", "RunSummary", "Watch", "WorkerCode", "launch"]
