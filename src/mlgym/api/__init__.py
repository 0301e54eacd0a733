"""The Python API: start runs, look at them, load what they trained."""

from mlgym.api.checkpoints import ExperimentCheckpoint, checkpoints_of, export_weights
from mlgym.api.results import Experiment, Run, load_run
from mlgym.api.resumption import resume
from mlgym.api.start import run
from mlgym.api.weights import load_model

__all__ = [
    "Experiment",
    "ExperimentCheckpoint",
    "Run",
    "checkpoints_of",
    "export_weights",
    "load_model",
    "load_run",
    "resume",
    "run",
]
