"""Post-processors."""

import pytest
import torch

from mlgym.components.postprocess import Argmax, Binarize, MaxOrMin, PostProcessor, Sigmoid, Softmax
from mlgym.errors import TrainingError

SCORES = torch.tensor([[0.0, 2.0, 1.0], [3.0, -1.0, 0.0]])  # (batch, classes)


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (Softmax(), SCORES.softmax(1)),
        (Argmax(), torch.tensor([1, 0])),
        (Sigmoid(), SCORES.sigmoid()),
        (Binarize(), torch.tensor([[0, 1, 1], [1, 0, 0]])),
        (Binarize(1.0), torch.tensor([[0, 1, 0], [1, 0, 0]])),
        (MaxOrMin(), torch.tensor([2.0, 3.0])),
        (MaxOrMin("min", axis=-1), torch.tensor([0.0, -1.0])),
    ],
)
def test_values(processor: PostProcessor, expected: torch.Tensor) -> None:
    """Each gives what its name says, in the place of the only prediction, and leaves the input alone."""
    before = SCORES.clone()
    given = processor({"logits": SCORES})
    assert list(given) == ["logits"]
    torch.testing.assert_close(given["logits"], expected)
    assert torch.equal(SCORES, before)
    torch.testing.assert_close(processor(SCORES)["prediction"], expected)


def test_names() -> None:
    """A prediction is read by name and the result is put beside it or in its place."""
    predictions = {"a": SCORES, "b": SCORES + 1}
    beside = Argmax(prediction="b", output="label")(predictions)
    assert list(beside) == ["a", "b", "label"]
    assert beside["a"] is SCORES
    instead = Argmax("b")(predictions)
    assert list(instead) == ["a", "b"]
    assert instead["b"].tolist() == [1, 0]
    with pytest.raises(TrainingError, match=r"there are 2 predictions \(a, b\)"):
        Softmax()(predictions)
    with pytest.raises(TrainingError, match="there is no prediction `c`"):
        Softmax("c")(predictions)


def test_shapes_that_do_not_fit() -> None:
    """Without an axis of classes, or without the axis asked for, the shape is named."""
    with pytest.raises(TrainingError, match=r"`softmax` needs a prediction .* \(4,\) float32"):
        Softmax()(torch.zeros(4))
    for axis in (0, 2, -2):
        with pytest.raises(TrainingError, match=rf"`axis: {axis}`"):
            MaxOrMin(axis=axis)(SCORES)
