"""A network given as a list of layers, for images."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mlgym.components.model.layers import Activation, Linear, SizedLayer
from mlgym.components.model.sizes import Count, Example, input_shape, num_outputs, seeded
from mlgym.config.registry import register
from mlgym.errors import TrainingError


@register("conv_net")
class ConvNet(nn.Module):
    """Layers one after the other, each sized by what the one before gives.

    Inputs are (batch, channels, height, width), float; outputs are what the last layer gives, (batch, out) for
    `linear`. A `linear` layer flattens what it gets. Every `conv` and `linear` is followed by the activation, except
    the last one. For 28 x 28 images the layers conv 32, conv 64, linear 128, linear 10 with their defaults give
    (32, 14, 14), (64, 7, 7), (128,), (10,) and 421,642 parameters.

    Args:
        layers: `conv`, `linear`, or any module of your own that maps (batch, ...) to (batch, ...).
        example: data whose samples the model is for; None for what the trainer trains it on. Gives the shape of the
            inputs and, if the last layer is `linear` without `out`, the number of outputs.
        in_shape: shape (channels, height, width) of one input; None for the example's.
        activation: what follows each layer but the last, unless the layer has its own.
        seed: what the first weights of all layers follow from.

    Raises:
        TrainingError: neither `in_shape` nor `example` is given, or a layer does not fit the one before.
    """

    def __init__(
        self,
        layers: Annotated[list[nn.Module], Field(min_length=1)],
        example: Example = None,
        *,
        in_shape: Annotated[list[Count], Field(min_length=1)] | None = None,
        activation: Activation = "relu",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if example is None and in_shape is None:
            raise TrainingError(
                "`conv_net` does not know the shape of its inputs: give `in_shape: [channels, height, width]`, or "
                "`example: $split.train`, from which it follows"
            )
        last = layers[-1]
        if example is not None and isinstance(last, Linear) and last.out is None:
            last.out = num_outputs(example)
        shape = tuple(in_shape) if in_shape is not None else input_shape(example)  # type: ignore[arg-type]  # not both are None
        with seeded(seed):
            for index, layer in enumerate(layers):
                shape = _fit(layer, index, shape, "none" if layer is last else activation)
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives (batch, out) for inputs (batch, channels, height, width)."""
        outputs: Tensor = self.layers(inputs)
        return outputs


@torch.no_grad()
def _fit(layer: nn.Module, index: int, shape: tuple[int, ...], activation: Activation) -> tuple[int, ...]:
    """Gives a layer its input size and returns the shape of its output, both without the batch axis."""
    if isinstance(layer, SizedLayer):
        layer.complete(shape, activation)
    was_training = layer.training
    try:
        # In evaluation mode, so that batch norm takes a batch of one and its statistics stay as they are.
        outputs: Tensor = layer.eval()(torch.zeros(1, *shape))
    except (RuntimeError, ValueError, IndexError) as error:
        raise TrainingError(
            f"`layers[{index}]` ({type(layer).__name__}) does not fit inputs of shape {shape} (without the batch "
            f"axis): {error}"
        ) from error
    finally:
        layer.train(was_training)
    return tuple(outputs.shape[1:])
