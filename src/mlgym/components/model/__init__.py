"""Models: modules that map inputs (batch, ...) to predictions, a tensor or several by name."""

from mlgym.components.model.conv_net import ConvNet
from mlgym.components.model.layers import Activation, Conv, Linear, SizedLayer
from mlgym.components.model.mlp import MLP
from mlgym.components.model.sizes import input_shape, num_outputs, seeded

__all__ = ["MLP", "Activation", "Conv", "ConvNet", "Linear", "SizedLayer", "input_shape", "num_outputs", "seeded"]
