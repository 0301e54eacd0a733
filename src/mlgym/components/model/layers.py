"""Layers whose input size is filled in by the model that they are part of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from torch import Tensor, nn

from mlgym.components.model.sizes import Count, Example, Outputs, Share, input_shape, num_outputs, seeded
from mlgym.config.registry import register
from mlgym.errors import TrainingError

Activation: TypeAlias = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "mish", "tanh", "sigmoid", "none"]
"""What follows a layer, by its name in PyTorch; `none` for nothing."""

_ACTIVATIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def activation_layers(activation: Activation) -> list[nn.Module]:
    """Gives the module of an activation as a list, empty for `none`."""
    return [] if activation == "none" else [_ACTIVATIONS[activation]()]


def dropout_layers(dropout: float) -> list[nn.Module]:
    """Gives the module that leaves out a share of the units as a list, empty for 0."""
    return [nn.Dropout(dropout)] if dropout else []


class SizedLayer(nn.Module, ABC):
    """A layer that gets its parameters once the shape of its input is known.

    Args:
        activation: what follows it; None for what the model it is part of says, and nothing where it stands alone.
    """

    def __init__(self, activation: Activation | None = None) -> None:
        super().__init__()
        self.activation = activation
        self.layers: nn.Sequential | None = None

    def complete(self, shape: Sequence[int], activation: Activation = "none") -> None:
        """Makes the parameters.

        Args:
            shape: of one input, without the batch axis.
            activation: what follows the layer if it has no activation of its own.

        Raises:
            TrainingError: the layer has its parameters already, or the shape does not fit.
        """
        if self.layers is not None:
            raise TrainingError(f"this {type(self).__name__} has its sizes already; a model needs layers of its own")
        self.layers = nn.Sequential(*self.build(shape, self.activation or activation))

    @abstractmethod
    def build(self, shape: Sequence[int], activation: Activation) -> list[nn.Module]:
        """Gives the modules of this layer for an input of `shape`, the activation included."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives the layer's output for (batch, ...).

        Raises:
            TrainingError: the sizes were never given.
        """
        if self.layers is None:
            raise TrainingError(
                f"the input size of this {type(self).__name__} is not known; use it in the `layers` of a model, or "
                "give `num_inputs` or `example`"
            )
        outputs: Tensor = self.layers(inputs)
        return outputs


@register("conv")
class Conv(SizedLayer):
    """Convolution over images, followed by an activation and max pooling; a layer of `conv_net`.

    In the order convolution, batch norm, activation, pooling, dropout. Inputs are (batch, channels, height, width),
    float; outputs (batch, out, h, w) with h = floor((floor((height + 2 padding - kernel) / stride) + 1) / pool), and w
    likewise: with the defaults half the height and width, rounded down.

    Args:
        out: number of output channels.
        kernel: height and width of the filters, in pixels.
        stride: distance between two positions of the filters, in pixels.
        padding: zeros put around the image, in pixels; None for kernel // 2, which keeps the size for odd kernels.
        pool: height and width of the fields whose maximum is kept, in pixels; 1 for no pooling.
        activation: what follows the convolution; None for the one of the `conv_net`.
        batch_norm: normalize each channel over the batch; the convolution then has no bias.
        dropout: share of outputs that training leaves out.
    """

    def __init__(
        self,
        out: Count,
        kernel: Count = 3,
        *,
        stride: Count = 1,
        padding: int | None = None,
        pool: Count = 2,
        activation: Activation | None = None,
        batch_norm: bool = False,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(activation)
        self.out = out
        self.kernel = kernel
        self.stride = stride
        self.padding = kernel // 2 if padding is None else padding
        self.pool = pool
        self.batch_norm = batch_norm
        self.dropout = dropout

    def build(self, shape: Sequence[int], activation: Activation) -> list[nn.Module]:
        """Gives the modules for an image of `shape` (channels, height, width).

        Raises:
            TrainingError: that is no image.
        """
        if len(shape) != 3:
            raise TrainingError(f"`conv` needs inputs (channels, height, width), but they are {tuple(shape)}")
        convolution = nn.Conv2d(
            shape[0], self.out, self.kernel, self.stride, padding=self.padding, bias=not self.batch_norm
        )
        return [
            convolution,
            *([nn.BatchNorm2d(self.out)] if self.batch_norm else []),
            *activation_layers(activation),
            *([nn.MaxPool2d(self.pool)] if self.pool > 1 else []),
            *dropout_layers(self.dropout),
        ]


@register("linear")
class Linear(SizedLayer):
    """Linear map of the flattened input: a whole model, or a layer of `conv_net`.

    Inputs are (batch, ...), float, with `num_inputs` numbers per sample; outputs (batch, out), or (batch,) for
    `scalar`. As a model it needs `num_inputs` or `example`; as a layer it gets its input size from the model.

    Args:
        out: how many numbers it gives per sample, or `scalar` for one without an axis of its own; None for what the
            targets of the example need: the number of classes, the length of a vector, or `scalar`.
        num_inputs: how many numbers a sample has; None for the size of the example's input.
        example: data whose samples the model is for; None for what the trainer trains it on.
        activation: what follows; None for nothing, or in a `conv_net` its activation, and nothing after the last layer.
        dropout: share of outputs that training leaves out.
        seed: what the first weights follow from; as a layer it is unused, since the model's seed covers all layers.

    Raises:
        TrainingError: `out` is not known, since neither it nor an example is given.
    """

    def __init__(
        self,
        out: Outputs | None = None,
        num_inputs: Count | None = None,
        *,
        example: Example = None,
        activation: Activation | None = None,
        dropout: Share = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(activation)
        self.out: Outputs | None = out if out is not None or example is None else num_outputs(example)
        self.dropout = dropout
        shape = (num_inputs,) if num_inputs is not None else None if example is None else input_shape(example)
        if shape is not None:
            with seeded(seed):
                self.complete(shape)

    def build(self, shape: Sequence[int], activation: Activation) -> list[nn.Module]:
        """Gives the modules for an input of any `shape`, which is flattened.

        Raises:
            TrainingError: the number of outputs is not known.
        """
        if self.out is None:
            raise TrainingError("`linear` does not know its number of outputs; give `out`, or `example: $split.train`")
        num_inputs = 1
        for size in shape:
            num_inputs *= size
        return [
            nn.Flatten(),
            nn.Linear(num_inputs, 1 if self.out == "scalar" else self.out),
            *activation_layers(activation),
            *dropout_layers(self.dropout),
            *([nn.Flatten(0)] if self.out == "scalar" else []),
        ]
