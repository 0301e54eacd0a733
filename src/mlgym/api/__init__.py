"""The Python API: start runs, look at them, load what they trained."""

from mlgym.api.results import Experiment, Run, load_run
from mlgym.api.start import run
from mlgym.api.weights import load_model

__all__ = ["Experiment", "Run", "load_model", "load_run", "run"]
