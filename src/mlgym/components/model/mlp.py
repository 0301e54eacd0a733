"""The multi-layer perceptron."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from mlgym.components.model.layers import Activation, activation_layers, dropout_layers
from mlgym.components.model.sizes import Count, Example, Outputs, Share, input_shape, num_outputs, seeded
from mlgym.config.registry import register
from mlgym.errors import TrainingError


@register("mlp")
class MLP(nn.Module):
    """Multi-layer perceptron: hidden layers with an activation, then a linear layer.

    A hidden layer is linear map, batch norm, activation, dropout. Inputs are (batch, ...), float, flattened to
    (batch, num_inputs); outputs (batch, num_outputs), or (batch,) for `scalar`.

    Args:
        hidden: number of units of each hidden layer, from input to output; one number for one layer.
        num_outputs: how many numbers it gives per sample, or `scalar` for one without an axis of its own; None for
            what the targets of the example need: the number of classes, the length of a vector, or `scalar`.
        num_inputs: how many numbers a sample has; None for the size of the example's input.
        example: data whose samples the model is for; None for what the trainer trains it on. The sizes not given follow
            from it.
        activation: what follows each hidden layer.
        dropout: share of hidden units that training leaves out.
        batch_norm: normalize each hidden unit over the batch; its linear map then has no bias.
        seed: what the first weights follow from.

    Raises:
        TrainingError: a size is not given and there is no example.
    """

    def __init__(
        self,
        hidden: Annotated[list[Count], Field(max_length=1000)] | Count,
        num_outputs: Outputs | None = None,
        *,
        num_inputs: Count | None = None,
        example: Example = None,
        activation: Activation = "relu",
        dropout: Share = 0.0,
        batch_norm: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        inputs, outputs = _sizes(num_inputs, num_outputs, example)
        sizes = [inputs, *([hidden] if isinstance(hidden, int) else hidden)]
        layers: list[nn.Module] = [nn.Flatten()]
        with seeded(seed):
            for size, width in pairwise(sizes):
                layers.append(nn.Linear(size, width, bias=not batch_norm))
                layers += [nn.BatchNorm1d(width)] if batch_norm else []
                layers += [*activation_layers(activation), *dropout_layers(dropout)]
            layers.append(nn.Linear(sizes[-1], 1 if outputs == "scalar" else outputs))
        layers += [nn.Flatten(0)] if outputs == "scalar" else []
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives (batch, num_outputs), or (batch,) for `scalar`, for inputs (batch, ...)."""
        outputs: Tensor = self.layers(inputs)
        return outputs


def _sizes(inputs: int | None, outputs: Outputs | None, example: Example) -> tuple[int, Outputs]:
    if example is not None:
        inputs = math.prod(input_shape(example)) if inputs is None else inputs
        outputs = num_outputs(example) if outputs is None else outputs
    if inputs is None or outputs is None:
        unknown = [name for name, size in (("num_inputs", inputs), ("num_outputs", outputs)) if size is None]
        raise TrainingError(
            f"`mlp` does not know its sizes: give {' and '.join(f'`{name}`' for name in unknown)}, or "
            "`example: $split.train`, from which they follow"
        )
    return inputs, outputs
