"""The components that configs use; importing this package registers them."""

from mlgym.components import data, loss, metric, model, optim, postprocess, step
from mlgym.components.tensors import Step, StepOutput, Tensors

__all__ = ["Step", "StepOutput", "Tensors", "data", "loss", "metric", "model", "optim", "postprocess", "step"]
