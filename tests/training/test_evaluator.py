"""Evaluation of a model on every split."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mlgym.components.data import TensorData, data_loaders
from mlgym.components.loss import CrossEntropy, MeanSquaredError, NegativeLogLikelihood, WeightedSum
from mlgym.components.metric import ConfusionMatrix
from mlgym.components.tensors import StepOutput, Tensors
from mlgym.config import RunFacts, build
from mlgym.config.registry import REGISTRY, register
from mlgym.errors import TrainingError
from mlgym.training.determinism import own_randomness
from mlgym.training.device import Device
from mlgym.training.evaluator import Evaluator

from .conftest import make_data, make_loaders, make_model


class Mean:
    """A metric like those of torchmetrics: the mean of its predictions."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        self.total += float(prediction.sum())
        self.count += prediction.numel()

    def compute(self) -> Tensor:
        return torch.tensor(self.total / self.count)

    def to(self, device: Any) -> Mean:
        return self


def _quiet(split: str, done: int, num_batches: int) -> None: ...


def test_losses_are_means_over_samples_not_over_batches() -> None:
    """A last batch of four counts half as much as one of eight; the numbers equal those of one large batch."""
    model = make_model().eval()
    scores = Evaluator(model, CrossEntropy(), loaders=make_loaders(36)).evaluate(Device("cpu"), _quiet)
    for split, data in (("train", make_data(36)), ("val", make_data(20))):
        assert isinstance(data.targets, Tensor)
        whole = nn.functional.cross_entropy(model(data.inputs), data.targets)
        assert scores[split].losses == {"loss": pytest.approx(whole.item(), rel=1e-6)}


def _uneven_data() -> TensorData:
    """20 samples in three classes: the first eight are rare, the next eight count for nothing."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (20,), generator=generator)
    labels[:8], labels[8:16] = 2, -1
    return TensorData(torch.randn(20, 3, generator=generator).log_softmax(1), labels)


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(ignore_index=-1),
        CrossEntropy([0.1, 1.0, 5.0], ignore_index=-1),
        CrossEntropy([0.1, 1.0, 5.0], label_smoothing=0.2, ignore_index=-1),
        NegativeLogLikelihood([0.1, 1.0, 5.0], ignore_index=-1),
        WeightedSum(
            [CrossEntropy([0.1, 1.0, 5.0], ignore_index=-1), CrossEntropy(ignore_index=-1, name="plain")], [2.0, 0.5]
        ),
    ],
    ids=["ignored", "weighted", "smoothed", "nll", "sum"],
)
def test_weighted_losses_are_those_of_one_large_batch(loss: CrossEntropy) -> None:
    """Class weights and targets that count for nothing weigh over the split as within a batch, not batch by batch."""
    data = _uneven_data()
    loaders = data_loaders({"val": data}, 8, seed=0)
    scores = Evaluator(nn.Identity(), loss, loaders=loaders).evaluate(Device("cpu"), _quiet)
    assert isinstance(data.inputs, Tensor)
    assert isinstance(data.targets, Tensor)
    assert scores["val"].losses["loss"] == pytest.approx(loss(data.inputs, data.targets).item(), rel=1e-6)
    by_batch = [loss(data.inputs[i : i + 8], data.targets[i : i + 8]).item() for i in (0, 8, 16)]
    assert by_batch[1] != by_batch[1], "control: the batch of which nothing counts has no mean"


@pytest.mark.parametrize("fast_path", [True, False])
@pytest.mark.parametrize("sampler", ["random", "weighted_random"])
def test_what_training_draws_twice_or_leaves_out_is_evaluated_once(sampler: Any, fast_path: bool) -> None:
    """The scores of the training split are those of its samples, whatever `sampler` and `drop_last` do in training."""
    data = TensorData(torch.eye(2)[torch.tensor([0] * 18 + [1] * 3)], torch.tensor([0] * 18 + [1] * 3))
    loaders = data_loaders({"train": data}, 8, seed=0, sampler=sampler, drop_last=True, fast_path=fast_path)
    evaluator = Evaluator(nn.Identity(), loaders=loaders, metrics=[ConfusionMatrix()])
    assert evaluator.evaluate(Device("cpu"), _quiet)["train"].tables == {"confusion_matrix": [[18.0, 0.0], [0.0, 3.0]]}
    drawn = torch.cat([targets for _, targets in loaders["train"].epoch(0)])
    assert torch.bincount(drawn).tolist() != [18, 3], "control: an epoch of training has other samples"


def test_the_model_is_evaluated_in_evaluation_mode_and_left_as_it_was() -> None:
    """Dropout is off, batch norm does not learn, and training mode comes back."""
    model = make_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluator = Evaluator(model, CrossEntropy(), loaders=make_loaders())
    first = evaluator.evaluate(Device("cpu"), _quiet)
    assert evaluator.evaluate(Device("cpu"), _quiet) == first
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_randomness_of_an_evaluation_stays_inside() -> None:
    """A step that samples gets the same numbers each time and leaves the global generators alone."""

    def sampling(model: nn.Module, batch: Any) -> StepOutput:
        return StepOutput(torch.randn(()))

    evaluator = Evaluator(make_model(), loaders=make_loaders(), step=sampling)
    results = []
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for _ in range(2):
        with own_randomness(7, "evaluation", 1):
            results.append(evaluator.evaluate(Device("cpu"), _quiet))
    assert results[0] == results[1]
    assert torch.equal(before, torch.get_rng_state())
    with own_randomness(7, "evaluation", 2):
        assert evaluator.evaluate(Device("cpu"), _quiet) != results[0]


def test_post_processors_change_what_metrics_see_but_not_the_loss() -> None:
    """The loss reads what the model said, metrics read what was made of it."""

    def zeros(predictions: Tensors) -> Tensors:
        return {name: torch.zeros_like(value) for name, value in predictions.items()}

    model = make_model()
    plain = Evaluator(model, CrossEntropy(), loaders=make_loaders(), metrics=[Mean()])
    processed = Evaluator(model, CrossEntropy(), loaders=make_loaders(), metrics=[Mean()], post_processors=[zeros])
    one, other = plain.evaluate(Device("cpu"), _quiet)["val"], processed.evaluate(Device("cpu"), _quiet)["val"]
    assert one.losses == other.losses
    assert other.metrics == {"mean": 0.0}
    assert one.metrics != other.metrics


def test_splits_can_be_chosen_and_are_checked() -> None:
    """Only the chosen ones are evaluated; an unknown one names the nearest."""
    evaluator = Evaluator(make_model(), CrossEntropy(), loaders=make_loaders(), splits=["val"])
    assert list(evaluator.evaluate(Device("cpu"), _quiet)) == ["val"]
    assert evaluator.names == ["val/loss"]
    with pytest.raises(TrainingError, match="no loader for the split `vall`; did you mean `val`"):
        Evaluator(make_model(), CrossEntropy(), loaders=make_loaders(), splits=["vall"])


def test_several_losses_keep_their_names_and_twins_are_refused() -> None:
    """Each loss of a list is shown under its own name; two of one name would overwrite each other."""
    losses = [CrossEntropy(), CrossEntropy(name="again")]
    evaluator = Evaluator(make_model(), losses, loaders=make_loaders())
    assert evaluator.names[:2] == ["train/cross_entropy", "train/again"]
    with pytest.raises(TrainingError, match="two measures are called `mse`"):
        Evaluator(make_model(), [MeanSquaredError(), MeanSquaredError()], loaders=make_loaders())
    with pytest.raises(TrainingError, match="needs a `loss`, a `step` or `metrics`"):
        Evaluator(make_model(), loaders=make_loaders())


def test_progress_is_told_per_split() -> None:
    """Ten times at most for each split."""
    told: list[tuple[str, int, int]] = []
    loaders = data_loaders({"val": make_data(80)}, 2, seed=0)
    Evaluator(make_model(), CrossEntropy(), loaders=loaders).evaluate(
        Device("cpu"), lambda split, done, num_batches: told.append((split, done, num_batches))
    )
    assert told == [("val", 4 * i, 40) for i in range(1, 11)]


def test_a_function_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is registered with `call_args` stands wherever a loss may, under its own name beside others."""
    REGISTRY.names()  # MLgym's own are registered once in a process: not into the copy
    monkeypatch.setattr(REGISTRY, "_components", dict(REGISTRY._components))

    @register("far", call_args=("prediction", "target"))
    def far(prediction: Tensor, target: Tensor, *, power: float = 2.0) -> Tensor:
        return ((prediction - target).abs() ** power).mean()

    losses = ["$far", {"use": "weighted_sum", "losses": ["$far", {"use": "l1"}], "weights": [2, 1]}]
    config = {
        "components": {
            "data": {"use": "diabetes"},
            "far": {"use": "far", "power": 3},
            "loaders": {"use": "data_loaders", "datasets": {"val": "$data"}, "batch_size": 64},
        },
        "experiment": {
            "use": "evaluator",
            "model": {"use": "linear", "example": "$data"},
            "loss": losses,
            "loaders": "$loaders",
            "step": {"use": "supervised_step", "loss": "$far"},
        },
    }
    evaluator = build(config, RunFacts())
    scores = evaluator.evaluate(Device("cpu"), _quiet)["val"].losses
    data = evaluator.loaders["val"].dataset
    expected = far(evaluator.model(data.inputs), data.targets, power=3).item()
    assert scores["far"] == pytest.approx(expected, rel=1e-5)
    l1 = nn.functional.l1_loss(evaluator.model(data.inputs), data.targets).item()
    assert scores["weighted_sum"] == pytest.approx(2 * expected + l1, rel=1e-5)
