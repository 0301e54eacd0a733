"""Trained models: rebuilt from the config of an experiment and filled from one of its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlgym.api.checkpoints import choose_checkpoint
from mlgym.api.results import load_run
from mlgym.api.user_code import code_folder
from mlgym.errors import RunError
from mlgym.events import ExperimentState
from mlgym.names import DEFAULT_STORAGE
from mlgym.tracking import RunFolder

if TYPE_CHECKING:
    from torch import nn


def load_model(
    run: str,
    experiment: int,
    *,
    storage: str | Path = DEFAULT_STORAGE,
    checkpoint: Literal["best", "last"] | Path = "best",
) -> nn.Module:
    """Gives the trained model of an experiment, on the CPU and in evaluation mode.

    The model is built from the experiment's config. Its user modules are looked for in the folder of the config that
    the run was started with, where that still exists, then in the working directory.
    Files are verified against their hashes, and nothing in them is executed.

    Args:
        run: run id, the beginning of one, or `latest`.
        experiment: the experiment's number.
        storage: the folder with one folder per run.
        checkpoint: the best one by what the run selects by, the last one, or the folder of one.

    Raises:
        RunError: there is no such run, experiment or checkpoint.
        TrainingError: the checkpoint was damaged, or does not fit the model.
    """
    found = load_run(run, storage)
    for one in found.experiments:
        if one.experiment_id == experiment:
            return one.load_model(checkpoint)
    known = ", ".join(str(one.experiment_id) for one in found.experiments) or "none"
    raise RunError(f"run {found.run_id} has no experiment {experiment} (known: {known})")


def load_checkpoint(folder: RunFolder, state: ExperimentState, checkpoint: Literal["best", "last"] | Path) -> nn.Module:
    """Gives the model of an experiment with the weights of a checkpoint; see `load_model`."""
    from mlgym.config import RunFacts, build, import_user_modules
    from mlgym.training import Training, load_weights

    chosen = choose_checkpoint(folder, state, checkpoint)
    config = folder.read_json(f"{state.experiment_id}/experiment_config.json")
    import_user_modules(config.get("imports", []), code_folder(folder))
    facts = RunFacts(
        seed=config["seed"], dir=str(folder.path), device="cpu", experiment_id=state.experiment_id, fold=None
    )
    experiment = build(config, facts)
    if not isinstance(experiment, Training):
        raise RunError(f"the experiment is a {type(experiment).__name__}, which does not say what its model is")
    model: nn.Module = experiment.model
    load_weights(chosen, model)
    return model.eval()
