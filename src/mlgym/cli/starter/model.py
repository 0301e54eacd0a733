"""Components of your own: any class or function with a typed signature, and one line that registers it."""

from torch import Tensor, nn

from mlgym import register


@register("my_model")
class MyModel(nn.Module):
    """One hidden layer for 8 x 8 images in ten classes.

    Args:
        width: units of the hidden layer.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Gives logits (batch, 10) for images (batch, 64)."""
        return self.layers(images)
