"""Named targets and named predictions: one body, two heads."""

from torch import Tensor, nn

from mlgym import register
from mlgym.components.data import TensorData, digits


@register("digits_with_parity")
def digits_with_parity() -> TensorData:
    """Gives the handwritten digits with two targets: which digit, and whether it is even."""
    data = digits()
    labels = data.targets
    return TensorData(data.inputs, {"digit": labels, "is_even": (labels % 2 == 0).float()})


@register("two_heads")
class TwoHeads(nn.Module):
    """A shared body with a head for the digit and one for its parity.

    Args:
        width: units of the body.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, width), nn.ReLU())
        self.digit = nn.Linear(width, 10)
        self.is_even = nn.Linear(width, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Gives logits `digit` (batch, 10) and `is_even` (batch,) for images (batch, 64)."""
        features = self.body(images)  # (batch, width)
        return {"digit": self.digit(features), "is_even": self.is_even(features).squeeze(1)}
