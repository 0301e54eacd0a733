"""Losses: values, what they read, and what they refuse."""

import copy
import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mlgym.components.loss import (
    L1,
    BinaryCrossEntropy,
    BinaryCrossEntropyWithLogits,
    CrossEntropy,
    Loss,
    Lp,
    MeanSquaredError,
    NegativeLogLikelihood,
    PlainLoss,
    WeightedSum,
    as_loss,
)
from mlgym.config.registry import Registry
from mlgym.errors import TrainingError

LOGITS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))  # (batch, classes)
LABELS = torch.arange(8) % 3  # (batch,)
NUMBERS = torch.randn(8, generator=torch.Generator().manual_seed(1))  # (batch,)
BITS = (torch.arange(8) % 2).float()  # (batch,)
WEIGHTS = [1.0, 2.0, 0.5]


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "expected"),
    [
        (CrossEntropy(), LOGITS, LABELS, functional.cross_entropy(LOGITS, LABELS)),
        (CrossEntropy(), LOGITS, LABELS.to(torch.int32), functional.cross_entropy(LOGITS, LABELS)),
        (CrossEntropy(), LOGITS, LABELS.to(torch.uint8), functional.cross_entropy(LOGITS, LABELS)),
        (CrossEntropy(), LOGITS, torch.eye(3)[LABELS], functional.cross_entropy(LOGITS, LABELS)),
        (
            CrossEntropy(WEIGHTS, 0.1, ignore_index=0),
            LOGITS,
            LABELS,
            functional.cross_entropy(LOGITS, LABELS, torch.tensor(WEIGHTS), label_smoothing=0.1, ignore_index=0),
        ),
        (
            CrossEntropy(),
            LOGITS.reshape(2, 3, 4),
            LABELS.reshape(2, 4),
            functional.cross_entropy(LOGITS.reshape(2, 3, 4), LABELS.reshape(2, 4)),
        ),
        (NegativeLogLikelihood(), LOGITS.log_softmax(1), LABELS, functional.cross_entropy(LOGITS, LABELS)),
        (BinaryCrossEntropy(), NUMBERS.sigmoid(), BITS, functional.binary_cross_entropy(NUMBERS.sigmoid(), BITS)),
        (
            BinaryCrossEntropyWithLogits(),
            NUMBERS[:, None],
            BITS.long(),
            functional.binary_cross_entropy_with_logits(NUMBERS, BITS),
        ),
        (
            BinaryCrossEntropyWithLogits(3.0),
            NUMBERS,
            BITS.bool()[:, None],
            functional.binary_cross_entropy_with_logits(NUMBERS, BITS, pos_weight=torch.tensor(3.0)),
        ),
        (
            BinaryCrossEntropyWithLogits(),
            LOGITS,
            (LOGITS > 0).double(),
            functional.binary_cross_entropy_with_logits(LOGITS, (LOGITS > 0).float()),
        ),
        (MeanSquaredError(), NUMBERS, BITS, (NUMBERS - BITS).square().mean()),
        (MeanSquaredError(), NUMBERS, BITS.double(), (NUMBERS - BITS).square().mean()),
        (L1(), NUMBERS, BITS.long(), (NUMBERS - BITS).abs().mean()),
        (Lp(1), NUMBERS, BITS, (NUMBERS - BITS).abs().mean()),
        (Lp(2), NUMBERS, BITS, (NUMBERS - BITS).square().mean()),
        (Lp(3.5), NUMBERS, BITS, ((NUMBERS - BITS).abs() ** 3.5).mean()),
    ],
)
def test_values(loss: Loss, prediction: Tensor, target: Tensor, expected: Tensor) -> None:
    """Each is torch's value in every form of target it takes, in the prediction's precision, and can be trained."""
    prediction = prediction.clone().requires_grad_()
    value = loss(prediction, target)
    assert value.shape == ()
    torch.testing.assert_close(value, expected)
    value.backward()
    assert prediction.grad is not None


def test_names_of_what_is_read() -> None:
    """A loss reads the prediction and target it names, or the only ones there are."""
    loss = MeanSquaredError(prediction="a", target="y", name="distance")
    predictions = {"a": NUMBERS, "b": NUMBERS * 0}
    assert loss(predictions, {"x": NUMBERS, "y": BITS}) == MeanSquaredError()({"p": NUMBERS}, {"t": BITS})
    assert (loss.name, MeanSquaredError().name, CrossEntropy().name) == ("distance", "mse", "cross_entropy")
    with pytest.raises(TrainingError, match="there are 2 predictions"):
        MeanSquaredError()(predictions, BITS)


CLASS_MISFITS = [
    (LOGITS, LABELS + 1, "the targets reach from 1 to 3, but there are 3 classes.*count from 0 to 2"),
    (LOGITS, LABELS - 1, "the targets reach from -1 to 1"),
    (LOGITS, LABELS.float(), "no whole numbers.*give class indices as int64"),
    (
        LOGITS,
        LABELS[:, None],
        r"the shapes do not fit.*\(8, 1\) int64; the target must be class indices of shape \(8,\)",
    ),
    (LOGITS, LABELS[:4], "the shapes do not fit"),
    (NUMBERS, LABELS, "no axis of classes"),
    (NUMBERS[:, None], LABELS * 0, "only one class.*take `bce_with_logits`"),
    (LABELS, LABELS, "no axis of classes"),
]
BINARY_MISFITS = [
    (LOGITS, LABELS, r"the shapes do not fit; the prediction is \(8, 3\) float32 and the target is \(8,\) int64"),
    (NUMBERS, BITS[:4], "the shapes do not fit"),
    (NUMBERS, BITS + 1, "the targets must be in \\[0, 1\\], but reach from 1 to 2"),
    (LABELS, BITS, "the prediction is no float"),
]
NUMBER_MISFITS = [
    (NUMBERS[:, None], BITS, r"shapes differ; the prediction is \(8, 1\).*drop the last axis of the prediction"),
    (NUMBERS, BITS[:, None], "drop the last axis of the target"),
    (LOGITS, BITS, "check the number of the model's outputs"),
    (LABELS, LABELS, "the prediction is no float"),
]


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "expected"),
    [
        *((CrossEntropy(), *misfit) for misfit in CLASS_MISFITS),
        *((NegativeLogLikelihood(), *misfit) for misfit in CLASS_MISFITS),
        (CrossEntropy([1.0, 1.0]), LOGITS, LABELS, "2 class weights for 3 classes"),
        *((BinaryCrossEntropyWithLogits(), *misfit) for misfit in BINARY_MISFITS),
        *((BinaryCrossEntropy(), *misfit) for misfit in BINARY_MISFITS),
        (BinaryCrossEntropy(), NUMBERS, BITS, "the predictions must be in \\[0, 1\\].*take `bce_with_logits`"),
        *((MeanSquaredError(), *misfit) for misfit in NUMBER_MISFITS),
        *((L1(), *misfit) for misfit in NUMBER_MISFITS),
        *((Lp(3), *misfit) for misfit in NUMBER_MISFITS),
    ],
)
def test_misfits_are_named(loss: Loss, prediction: Tensor, target: Tensor, expected: str) -> None:
    """Shapes, types and values that do not fit are refused with what was got and what to do."""
    with pytest.raises(TrainingError, match=expected):
        loss(prediction, target)


def test_labels_out_of_range_in_a_later_batch() -> None:
    """After the first batch of a shape was checked, a bad label is still an error with a name."""
    loss = CrossEntropy()
    loss(LOGITS, LABELS)
    with pytest.raises(TrainingError, match="the targets reach from 1 to 3"):
        loss(LOGITS, LABELS + 1)


def test_ignored_labels_may_be_out_of_range() -> None:
    """`ignore_index` is no class and needs none."""
    assert torch.isfinite(CrossEntropy()(LOGITS, LABELS.masked_fill(LABELS == 0, -100)))


def test_checks_run_once_per_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check may read from the device, so the same shape is not checked again; another shape or type is."""
    checks = []
    monkeypatch.setattr(MeanSquaredError, "check", lambda self, prediction, target: checks.append(prediction.shape))
    loss = MeanSquaredError()
    for _ in range(3):
        loss(NUMBERS, BITS)
        loss(NUMBERS[:4], BITS[:4])
    loss(NUMBERS, BITS.double())
    assert checks == [(8,), (4,), (8,)]


def test_weights_do_not_enter_the_state() -> None:
    """What the config says is not stored with the weights, so another config can load them."""
    assert not CrossEntropy(WEIGHTS).state_dict()
    assert not BinaryCrossEntropyWithLogits(2.0).state_dict()


class FocalLoss(nn.Module):
    """A plain module of the user's own, with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.scale * (prediction - target).square().mean()


def margin_loss(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).abs().mean()


def test_plain_losses() -> None:
    """Ours stay, modules and functions are wrapped under their snake-case name, and their parameters are kept."""
    ours = CrossEntropy()
    assert as_loss(ours) is ours
    module = as_loss(FocalLoss())
    assert isinstance(module, PlainLoss)
    assert module.name == "focal_loss"
    assert [name for name, _ in module.named_parameters()] == ["function.scale"]
    torch.testing.assert_close(module({"p": NUMBERS}, {"t": BITS}), 2 * MeanSquaredError()(NUMBERS, BITS))
    function = as_loss(margin_loss)
    assert function.name == "margin_loss"
    assert function(NUMBERS, BITS) == L1()(NUMBERS, BITS)
    assert as_loss(nn.CrossEntropyLoss()).name == "cross_entropy_loss"
    assert as_loss(margin_loss, name="mine").name == "mine"


def test_a_registered_loss_has_its_registered_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results call a loss what configs call it, be it a class, a function or a function with bound parameters."""
    registry = Registry()
    registry.register("focal")(FocalLoss)
    registry.register("margin", call_args=("prediction", "target"))(margin_loss)
    monkeypatch.setattr("mlgym.components.loss.base.REGISTRY", registry)
    assert as_loss(FocalLoss()).name == "focal"
    assert as_loss(margin_loss).name == "margin"
    assert as_loss(functools.partial(margin_loss)).name == "margin"
    assert as_loss(nn.MSELoss()).name == "mse_loss"


def test_plain_losses_that_are_none() -> None:
    """What cannot be called, or gives no scalar, says so."""
    with pytest.raises(TrainingError, match="must be a module or a function, but this is float"):
        as_loss(1.0)  # type: ignore[arg-type]  # no loss
    with pytest.raises(TrainingError, match=r"a scalar tensor \(\), but gave a tensor of shape \(8,\); take its mean"):
        as_loss(nn.MSELoss(reduction="none"))(NUMBERS, BITS)
    with pytest.raises(TrainingError, match="but gave float"):
        as_loss(lambda prediction, target: 1.0, name="constant")(NUMBERS, BITS)


def batches(num: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    return [(torch.randn(8, generator=generator), BITS) for _ in range(num)]


def make_sum(warm_up: int | None = 3) -> WeightedSum:
    return WeightedSum([MeanSquaredError(), L1()], [2.0, 0.5], scale_by_warm_up_mean=warm_up)


def test_weighted_sum() -> None:
    """It is the sum of the weighted losses, 1 each by default; each reads its own prediction; plain ones work."""
    value = make_sum(None)(NUMBERS, BITS)
    torch.testing.assert_close(value, 2 * MeanSquaredError()(NUMBERS, BITS) + 0.5 * L1()(NUMBERS, BITS))
    named = WeightedSum([MeanSquaredError(prediction="a"), FocalLoss()], name="total")
    assert named.name == "total"
    with pytest.raises(TrainingError, match="there are 2 predictions"):
        named({"a": NUMBERS, "b": NUMBERS}, BITS)
    torch.testing.assert_close(named({"a": NUMBERS}, BITS), 3 * MeanSquaredError()(NUMBERS, BITS))
    with pytest.raises(TrainingError, match="has 2 losses, but 1 weights"):
        WeightedSum([L1(), L1()], [1.0])


def test_warm_up_scales_each_loss_by_its_mean() -> None:
    """During the warm-up by the mean so far, afterwards by the mean of the first batches, as written out by hand."""
    loss, squares, distances = make_sum(), MeanSquaredError(), L1()
    seen: list[tuple[float, float]] = []
    for prediction, target in batches(6):
        values = float(squares(prediction, target)), float(distances(prediction, target))
        if len(seen) < 3:
            seen.append(values)
        means = [sum(column) / len(seen) for column in zip(*seen, strict=True)]
        expected = 2 * values[0] / means[0] + 0.5 * values[1] / means[1]
        assert float(loss(prediction, target)) == pytest.approx(expected, rel=1e-5)
    assert loss.num_batches == 3


def test_evaluation_does_not_warm_up() -> None:
    """Batches without gradients or in evaluation mode use the scale reached so far, 1 before the first one."""
    loss, (first, second) = make_sum(), batches(2)
    with torch.inference_mode():
        unscaled = loss(*first)
    torch.testing.assert_close(unscaled, make_sum(None)(*first))
    loss(*first)
    loss.eval()
    loss(*second)
    assert loss.num_batches == 1


def test_warm_up_resumes() -> None:
    """Its state goes on from a state dict; the control without it gives other values."""
    straight = make_sum()
    expected = [float(straight(*batch).detach()) for batch in batches(5)]

    def resumed(load: bool) -> list[float]:
        first, again = make_sum(), make_sum()
        for batch in batches(5)[:2]:
            first(*batch)
        if load:
            again.load_state_dict(first.state_dict())
        return [float(again(*batch).detach()) for batch in batches(5)[2:]]

    assert resumed(load=True) == expected[2:]
    assert resumed(load=False) != expected[2:]


def test_a_loss_of_zero_is_not_scaled() -> None:
    """A loss that was 0 all through the warm-up is left as it is instead of dividing by 0."""
    loss = make_sum(1)
    assert loss(BITS, BITS) == 0
    torch.testing.assert_close(loss(NUMBERS, BITS), make_sum(None)(NUMBERS, BITS))


@pytest.mark.parametrize("loss", [CrossEntropy(WEIGHTS), make_sum(), MeanSquaredError()])
def test_losses_can_be_copied(loss: Any) -> None:
    """Losses travel to other processes as modules do."""
    assert copy.deepcopy(loss).name == loss.name
