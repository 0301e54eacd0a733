"""Metrics over labels against scikit-learn."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import Tensor

from mlgym.components.metric import F1, Accuracy, BalancedAccuracy, ConfusionMatrix, NamedMetric, Precision, Recall
from mlgym.errors import TrainingError

SIZES = (1, 7, 64, 3, 25)
"""Uneven batches, 100 samples in all."""


def fed(metric: NamedMetric, predictions: Tensor, targets: Tensor) -> Any:
    """The value after batches of uneven sizes."""
    start = 0
    for size in SIZES:
        metric.update(predictions[start : start + size], targets[start : start + size])
        start += size
    return metric.compute()


def scores_and_labels(num_classes: int, seed: int, present: list[int] | None = None) -> tuple[Tensor, Tensor]:
    """Logits (100, classes) that know something about the labels (100,), which are from `present`."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.tensor(present if present is not None else list(range(num_classes)))
    labels = classes[torch.randint(len(classes), (100,), generator=generator)]
    return torch.randn(100, num_classes, generator=generator) + 1.5 * torch.eye(num_classes)[labels], labels


def without(case: tuple[Tensor, Tensor], label: int) -> tuple[Tensor, Tensor]:
    """The case with a class that is never predicted."""
    logits, labels = case
    return logits.index_fill(1, torch.tensor(label), -99.0), labels


CASES: dict[str, tuple[Tensor, Tensor]] = {
    "ten": scores_and_labels(10, 0),
    "two": scores_and_labels(2, 1),
    "absent from targets": scores_and_labels(5, 2, [0, 2, 4]),
    "absent from both": without(scores_and_labels(5, 3, [0, 1]), 4),
    "one class only": scores_and_labels(3, 4, [1]),
    "one class, all right": (torch.tensor([[0.0, 9.0]]).repeat(100, 1), torch.ones(100, dtype=torch.int64)),
}

FUNCTIONS: dict[str, tuple[type[Any], Callable[..., Any]]] = {
    "f1": (F1, oracle.f1_score),
    "precision": (Precision, oracle.precision_score),
    "recall": (Recall, oracle.recall_score),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    """Logits (100, classes) and labels (100,)."""
    return CASES[request.param]


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_averages_equal_sklearn(kind: str, average: Any, case: tuple[Tensor, Tensor]) -> None:
    """F1, precision and recall are scikit-learn's to 1e-12, absent and single classes included."""
    logits, labels = case
    metric, expected = FUNCTIONS[kind]
    value = fed(metric(average), logits, labels)
    assert value == pytest.approx(expected(labels, logits.argmax(1), average=average, zero_division=0), abs=1e-12)
    assert metric(average).name == f"{kind}_{average}"


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_values_per_class_equal_sklearn(kind: str, case: tuple[Tensor, Tensor]) -> None:
    """`none` gives a value for every class, also those that appear nowhere, keyed by class."""
    logits, labels = case
    metric, expected = FUNCTIONS[kind]
    classes = list(range(logits.shape[1]))
    values = expected(labels, logits.argmax(1), average=None, labels=classes, zero_division=0)
    assert fed(metric("none"), logits, labels) == pytest.approx({f"{kind}/{c}": values[c] for c in classes}, abs=1e-12)


def test_accuracy_and_balanced_accuracy_equal_sklearn(case: tuple[Tensor, Tensor]) -> None:
    """Both are scikit-learn's; classes that are only predicted do not count in the balanced one."""
    logits, labels = case
    predicted = logits.argmax(1)
    assert fed(Accuracy(), logits, labels) == pytest.approx(oracle.accuracy_score(labels, predicted), abs=1e-12)
    recalls = [float((predicted[labels == c] == c).double().mean()) for c in sorted({*labels.tolist()})]
    assert fed(BalancedAccuracy(), logits, labels) == pytest.approx(np.mean(recalls), abs=1e-12)
    # scikit-learn warns where a class is only predicted, or where there is only one.
    if set(predicted.tolist()) <= set(labels.tolist()) and len({*labels.tolist()}) > 1:
        expected = oracle.balanced_accuracy_score(labels, predicted)
        assert fed(BalancedAccuracy(), logits, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("normalize", "sklearns"), [("none", None), ("rows", "true"), ("columns", "pred"), ("all", "all")]
)
def test_confusion_matrix_equals_sklearn(normalize: Any, sklearns: Any, case: tuple[Tensor, Tensor]) -> None:
    """Counts and shares are scikit-learn's, with a row and column for every class."""
    logits, labels = case
    classes = list(range(logits.shape[1]))
    expected = oracle.confusion_matrix(labels, logits.argmax(1), labels=classes, normalize=sklearns)
    np.testing.assert_allclose(fed(ConfusionMatrix(normalize), logits, labels), expected, atol=1e-12)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", "binary"])
@pytest.mark.parametrize("threshold", [0.3, 0.5])
@pytest.mark.parametrize("form", ["logits", "probabilities", "labels", "bool"])
@pytest.mark.parametrize("column", [True, False])
def test_single_scores_equal_sklearn(average: Any, threshold: float, form: str, column: bool) -> None:
    """One score per sample is compared with the threshold as a probability, whatever its form and shape."""
    logits = CASES["two"][0][:, 1] - CASES["two"][0][:, 0]
    labels = CASES["two"][1]
    predicted = (logits.sigmoid() > threshold).long()
    given = {"logits": logits, "probabilities": logits.sigmoid(), "labels": predicted, "bool": predicted.bool()}[form]
    value = fed(F1(average, threshold=threshold), given[:, None] if column else given, labels.float())
    assert value == pytest.approx(oracle.f1_score(labels, predicted, average=average), abs=1e-12)


def test_whether_scores_are_logits_is_not_guessed_from_a_batch() -> None:
    """Logits whose batches are partly within [0, 1] are read as logits throughout; a guess by batch would differ."""
    logits = torch.tensor([0.2, 0.9, 0.3, -2.0, 0.4, 0.1])
    labels = torch.tensor([1, 1, 1, 0, 1, 1])
    metric = Accuracy()
    for start in (0, 2, 4):
        metric.update(logits[start : start + 2], labels[start : start + 2])
    assert metric.compute() == 1.0
    by_batch = Accuracy(scores="probabilities")
    by_batch.update(logits, labels)
    assert by_batch.compute() != 1.0, "the control must differ"


def test_the_reading_can_be_fixed() -> None:
    """`scores: logits` holds where all logits happen to be within [0, 1]."""
    metric = Accuracy(scores="logits")
    metric.update(torch.tensor([0.1, 0.2]), torch.tensor([1, 1]))
    assert metric.compute() == 1.0


@pytest.mark.parametrize("limit", [1, 50, 1 << 20])
def test_batches_handed_on_early_or_late_give_the_same(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many batches are gathered before counting changes no value."""
    monkeypatch.setattr(F1, "max_gathered", limit)
    logits, labels = scores_and_labels(4, 5)
    single = torch.randn(100, generator=torch.Generator().manual_seed(1))
    halves = (labels > 1).long()
    assert fed(F1(), logits, labels) == oracle.f1_score(labels, logits.argmax(1), average="macro")
    assert fed(F1("binary"), single, halves) == oracle.f1_score(halves, single > 0)
    assert fed(F1(), logits.argmax(1), labels) == oracle.f1_score(labels, logits.argmax(1), average="macro")
    assert fed(F1(num_classes=4), logits.argmax(1), labels) == fed(F1(), logits, labels)


def test_reused_memory_does_not_change_what_was_given() -> None:
    """A model or loader that writes every batch into the same memory is counted right."""
    logits, labels = scores_and_labels(3, 6)
    metric, buffer, label_buffer = Accuracy(), torch.empty(10, 3), torch.empty(10, dtype=torch.int64)
    for start in range(0, 100, 10):
        buffer.copy_(logits[start : start + 10])
        label_buffer.copy_(labels[start : start + 10])
        metric.update(buffer, label_buffer)
    assert metric.compute() == float((logits.argmax(1) == labels).double().mean())


def test_more_batches_after_a_value_and_reset() -> None:
    """`compute` may be called in between and twice, `reset` begins anew, also for labels of unknown number."""
    logits, labels = scores_and_labels(3, 7)
    for predictions in (logits, logits.argmax(1)):
        metric = Accuracy()
        metric.update(predictions[:50], labels[:50])
        first = metric.compute()
        assert metric.compute() == first == float((logits[:50].argmax(1) == labels[:50]).double().mean())
        metric.update(predictions[50:], labels[50:])
        assert metric.compute() == float((logits.argmax(1) == labels).double().mean())
        metric.reset()
        metric.update(predictions[:50], labels[:50])
        assert metric.compute() == first


def test_dense_labels_and_one_hot_targets() -> None:
    """Scores (batch, classes, height, width) go with labels (batch, height, width); one-hot targets are labels."""
    logits = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(3, (4, 5, 6), generator=torch.Generator().manual_seed(1))
    metric = F1()
    metric.update(logits, labels)
    expected = oracle.f1_score(labels.flatten(), logits.argmax(1).flatten(), average="macro")
    assert metric.compute() == pytest.approx(expected, abs=1e-12)
    flat, labels = scores_and_labels(3, 8)
    assert fed(F1(), flat, torch.eye(3)[labels]) == fed(F1(), flat, labels)


@pytest.mark.slow  # the flag imports torch._inductor
def test_many_classes_in_deterministic_mode_are_cheap() -> None:
    """Counting 1,000 classes takes no memory per sample and class, also where PyTorch is told to be deterministic."""
    torch.use_deterministic_algorithms(True)
    try:
        logits = torch.randn(64, 1000, generator=torch.Generator().manual_seed(0))
        metric = F1("micro")
        metric.update(logits, logits.argmax(1))
        assert metric.compute() == 1.0
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        (torch.zeros(4, 3), torch.zeros(4, 2, dtype=torch.int64), "the shapes do not fit"),
        (torch.zeros(4, 3), torch.zeros(5, dtype=torch.int64), "the shapes do not fit"),
        (torch.zeros(4, 3), torch.zeros(4, 3, dtype=torch.int64), "several yes-or-no labels"),
        (torch.zeros(4, 3), torch.tensor([0, 1, 2, 3]), "the targets reach from 0 to 3, but there are 3 classes"),
        (torch.zeros(4), torch.tensor([0, 1, 2, 1]), "the targets reach from 0 to 2, but there are 2 classes"),
        (torch.zeros(4, 3), torch.tensor([0, -1, 2, 1]), "reach from -1 to 2"),
    ],
)
def test_misfits_are_named(prediction: Tensor, target: Tensor, expected: str) -> None:
    """Shapes and labels that do not fit are refused with what was got."""
    metric = F1()
    metric.max_gathered = 0  # type: ignore[misc]  # a constant otherwise
    with pytest.raises(TrainingError, match=expected):
        metric.update(prediction, target)


def test_other_faults_are_named() -> None:
    """Wrong numbers of classes, a binary average of many classes and an empty split say what is wrong."""
    with pytest.raises(TrainingError, match="`num_classes` is 4, but there are scores for 3"):
        Accuracy(num_classes=4).update(torch.zeros(2, 3), torch.zeros(2))
    labels = Accuracy(num_classes=3)
    labels.update(torch.tensor([3]), torch.tensor([0]))
    with pytest.raises(TrainingError, match="the predictions reach from 3 to 3"):
        labels.compute()
    binary = F1("binary")
    binary.update(torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(TrainingError, match="`average: binary` is for two classes, but there are 3"):
        binary.compute()
    with pytest.raises(TrainingError, match="metric `accuracy` has seen no batch"):
        Accuracy().compute()
