"""What an experiment on several devices cannot be made of, refused before anything is started."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mlgym.config import Document, contradictions_of_launch, too_small_to_share
from mlgym.errors import ConfigError

_PARALLELISM: Final = "parallelism"
"""What a trainer has where several devices train together, written in the config or not."""


def refuse_unshared(document: Document, devices_per_experiment: int) -> None:
    """Checks a config against the number of devices that a launch gives each experiment, whoever starts them.

    Args:
        document: a config without faults.
        devices_per_experiment: how many, >= 1.

    Raises:
        ConfigError: a part of it does not go with several, such as the optimizer `lbfgs`, or with so many, such as a
            small batch.
    """
    if devices_per_experiment < 2:
        return
    remedy = f"or launch with one device per experiment instead of {devices_per_experiment}"
    met = contradictions_of_launch(document, _PARALLELISM)
    faults = [
        *(replace(fault, message=f"{fault.message}, {remedy}") for fault in met),
        *too_small_to_share(document, _PARALLELISM, devices_per_experiment),
    ]
    if faults:
        raise ConfigError(faults)
