"""A training step of our own: one function from (model, batch) to a loss and named outputs."""

import torch
from torch import Tensor, nn

from mlgym import StepOutput, register


@register("denoising_step", call_args=("model", "batch"))
def denoising_step(model: nn.Module, batch: tuple[Tensor, Tensor], *, noise: float = 0.1) -> StepOutput:
    """Reconstructs the inputs from noisy ones; labels are not used.

    Args:
        model: from (batch, features) to (batch, features).
        batch: (inputs, labels).
        noise: standard deviation of what is added to the inputs in training, >= 0.
    """
    inputs, _ = batch
    noisy = inputs + noise * torch.randn_like(inputs) if model.training else inputs
    reconstruction = model(noisy)  # (batch, features)
    loss = nn.functional.mse_loss(reconstruction, inputs)
    return StepOutput(loss, {"reconstruction": reconstruction}, {"input": inputs})
