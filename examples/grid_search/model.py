"""A model of our own: a plain `nn.Module` and one line that registers it."""

from torch import Tensor, nn

from mlgym import register


@register("small_conv_net")
class SmallConvNet(nn.Module):
    """Convolutional network for 8 x 8 grey images in ten classes.

    Args:
        num_channels: channels of the first convolution; the second one has twice as many.
    """

    def __init__(self, num_channels: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, num_channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(num_channels, 2 * num_channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * num_channels * 4 * 4, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Gives logits (batch, 10) for images (batch, 1, 8, 8)."""
        return self.layers(images)
