"""Experiments as tasks of SLURM job arrays, submitted through submitit; nothing of them is pickled."""

from mlgym.execution.slurm.executor import SlurmExecutor
from mlgym.execution.slurm.folder import JobFolder
from mlgym.execution.slurm.settings import SlurmSettings
from mlgym.execution.slurm.setup import TaskSetup
from mlgym.execution.slurm.takeover import UnderWay, end_jobs, take_in

__all__ = ["JobFolder", "SlurmExecutor", "SlurmSettings", "TaskSetup", "UnderWay", "end_jobs", "take_in"]
