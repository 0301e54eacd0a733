"""The Python API: start runs, look at them, load what they trained, prove that they repeat."""

from mlgym.api.checkpoints import ExperimentCheckpoint, checkpoints_of, export_weights
from mlgym.api.reproduction import compare_runs, reproduce
from mlgym.api.results import Experiment, Run, load_model, load_run
from mlgym.api.resumption import resume
from mlgym.api.start import run
from mlgym.api.tracked_run import TrackedRun
from mlgym.api.tracking import track

__all__ = [
    "Experiment",
    "ExperimentCheckpoint",
    "Run",
    "TrackedRun",
    "checkpoints_of",
    "compare_runs",
    "export_weights",
    "load_model",
    "load_run",
    "reproduce",
    "resume",
    "run",
    "track",
]
