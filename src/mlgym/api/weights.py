"""A trained model: rebuilt from the config of an experiment and filled from one of its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlgym.api.chosen_checkpoint import chosen_checkpoint
from mlgym.api.user_code import code_folder
from mlgym.errors import RunError
from mlgym.events import ExperimentState
from mlgym.execution.run_record import EXPERIMENT_CONFIG_FILE
from mlgym.tracking import RunFolder

if TYPE_CHECKING:
    from torch import nn


def load_checkpoint(
    folder: RunFolder,
    state: ExperimentState,
    checkpoint: Literal["best", "last"] | Path,
    *,
    rest_endpoint: str | None = None,
) -> nn.Module:
    """Gives the model of an experiment with the weights of a checkpoint; see `mlgym.load_model`."""
    from mlgym.training import load_weights

    with chosen_checkpoint(folder, state, checkpoint, rest_endpoint=rest_endpoint) as chosen:
        model = _rebuilt(folder, state)
        load_weights(chosen, model)
    return model.eval()


def _rebuilt(folder: RunFolder, state: ExperimentState) -> nn.Module:
    from mlgym.config import RunFacts, import_user_modules
    from mlgym.training import Training
    from mlgym.training.determinism import own_randomness
    from mlgym.training.run import build_experiment

    config = folder.read_json(f"{state.experiment_id}/{EXPERIMENT_CONFIG_FILE}")
    import_user_modules(config.get("imports", []), code_folder(folder))
    facts = RunFacts(
        seed=config["seed"], dir=str(folder.path), device="cpu", experiment_id=state.experiment_id, fold=None
    )
    # Built on the same draws as for training, for what is neither weight nor buffer; those of the caller go on as if
    # nothing had been.
    with own_randomness(facts.seed, "build"):
        experiment, _ = build_experiment(config, facts)
    if not isinstance(experiment, Training):
        raise RunError(f"the experiment is a {type(experiment).__name__}, which does not say what its model is")
    model: nn.Module = experiment.model
    return model
