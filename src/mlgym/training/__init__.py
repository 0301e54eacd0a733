"""Training: the loop, evaluation, early stopping, checkpoints and one experiment."""

from mlgym.training.callbacks import HOOKS, Hooks
from mlgym.training.checkpoint import StoredCheckpoint, list_checkpoints, load_weights
from mlgym.training.context import Experiment, ExperimentContext, StopFlag
from mlgym.training.determinism import prepare_process, seed_global_generators
from mlgym.training.device import Device
from mlgym.training.digest import digest
from mlgym.training.evaluator import Evaluator
from mlgym.training.experiment import Training
from mlgym.training.run import run_experiment
from mlgym.training.state import State
from mlgym.training.stopping import EarlyStopping
from mlgym.training.strategies import CheckpointStrategy, Decision, Snapshot
from mlgym.training.trainer import Trainer
from mlgym.training.world import World

__all__ = [
    "HOOKS",
    "CheckpointStrategy",
    "Decision",
    "Device",
    "EarlyStopping",
    "Evaluator",
    "Experiment",
    "ExperimentContext",
    "Hooks",
    "Snapshot",
    "State",
    "StopFlag",
    "StoredCheckpoint",
    "Trainer",
    "Training",
    "World",
    "digest",
    "list_checkpoints",
    "load_weights",
    "prepare_process",
    "run_experiment",
    "seed_global_generators",
]
