"""Post-processors: what is made of predictions before metrics see them."""

from mlgym.components.postprocess.base import PostProcessor
from mlgym.components.postprocess.processors import Argmax, Binarize, MaxOrMin, Sigmoid, Softmax

__all__ = ["Argmax", "Binarize", "MaxOrMin", "PostProcessor", "Sigmoid", "Softmax"]
