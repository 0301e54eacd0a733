"""A callback with a state: an exponential moving average of the weights."""

from typing import Any

import torch

from mlgym import register
from mlgym.training import State


@register("weight_average")
class WeightAverage:
    """Keeps an exponential moving average of the parameters and says how far they are from it.

    Args:
        decay: share of the old average that is kept at each update, in [0, 1).

    Source: Polyak and Juditsky 1992, Acceleration of stochastic approximation by averaging.
    """

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = decay
        self.average: dict[str, list[float]] = {}
        self.distances: list[float] = []

    def on_epoch_end(self, state: State) -> None:
        """Moves the average towards the weights of this epoch."""
        squared = 0.0
        for name, parameter in state.model.named_parameters():
            now = parameter.detach().flatten()
            old = torch.tensor(self.average[name]) if name in self.average else now
            average = self.decay * old + (1 - self.decay) * now
            squared += float((now - average).square().sum())
            self.average[name] = average.tolist()
        self.distances.append(squared**0.5)

    def state_dict(self) -> dict[str, Any]:
        """Gives what must survive an interruption."""
        return {"average": self.average, "distances": self.distances}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""
        self.average, self.distances = state["average"], state["distances"]
