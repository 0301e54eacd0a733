"""A random augmentation of our own, registered unchanged: it draws from the generator that it is given."""

import numpy as np
from torch import Tensor

from mlgym import register


@register("random_flip", call_args=("image", "rng"))
def random_flip(image: Tensor, rng: np.random.Generator, *, probability: float = 0.5) -> Tensor:
    """Mirrors an image from left to right.

    Args:
        image: (channels, height, width).
        rng: what decides; it follows from the seed, the epoch and the sample.
        probability: share of the images that are mirrored, in [0, 1].
    """
    return image.flip(-1) if rng.random() < probability else image
