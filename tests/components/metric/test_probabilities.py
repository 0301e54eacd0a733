"""Metrics over probabilities and their order against scikit-learn, torchmetrics and formulas written out."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from sklearn.preprocessing import label_binarize
from torch import Tensor

from mlgym.components.metric import (
    AUROC,
    AreaUnderRecallAtK,
    AveragePrecision,
    BrierScore,
    CalibrationCurve,
    ExpectedCalibrationError,
    RecallAtK,
)
from mlgym.components.metric.ranking import log_odds
from mlgym.errors import TrainingError
from tests.components.metric.test_labels import fed, scores_and_labels

SKLEARN: dict[str, Any] = {"auroc": oracle.roc_auc_score, "average_precision": oracle.average_precision_score}
METRICS: dict[str, Any] = {"auroc": AUROC, "average_precision": AveragePrecision}
FORMS = ["logits", "probabilities"]


def binary(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Single logits (100,) with ties, and labels (100,)."""
    logits, labels = scores_and_labels(2, seed)
    return ((logits[:, 1] - logits[:, 0]) * 4).round() / 4, labels


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("num_classes", [3, 10])
def test_multiclass_areas_equal_sklearn(kind: str, average: Any, form: str, num_classes: int) -> None:
    """One against the rest, averaged, is scikit-learn's to 1e-6, from logits and from probabilities."""
    logits, labels = scores_and_labels(num_classes, 11)
    probabilities = logits.double().softmax(1)
    expected = SKLEARN[kind](label_binarize(labels, classes=range(num_classes)), probabilities, average=average)
    value = fed(METRICS[kind](average), logits if form == "logits" else probabilities, labels)
    assert value == pytest.approx(expected, abs=1e-6)
    if kind == "auroc":
        direct = oracle.roc_auc_score(labels, probabilities, multi_class="ovr", average=average)
        assert value == pytest.approx(direct, abs=1e-6)


@pytest.mark.parametrize("kind", METRICS)
def test_areas_per_class_equal_sklearn(kind: str) -> None:
    """`none` gives each class's area."""
    logits, labels = scores_and_labels(4, 12)
    expected = SKLEARN[kind](label_binarize(labels, classes=range(4)), logits.softmax(1), average=None)
    assert fed(METRICS[kind]("none"), logits, labels) == pytest.approx(
        {f"{kind}/{index}": expected[index] for index in range(4)}, abs=1e-6
    )


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("form", [*FORMS, "columns"])
def test_binary_areas_equal_sklearn(kind: str, form: str) -> None:
    """Single scores, with ties, as logits, as probabilities, and as two columns."""
    logits, labels = binary()
    given = {
        "logits": logits,
        "probabilities": logits.sigmoid()[:, None],
        "columns": torch.stack([torch.zeros_like(logits), logits], 1),
    }[form]
    expected = SKLEARN[kind](labels, logits)
    assert fed(METRICS[kind]("binary"), given, labels) == pytest.approx(expected, abs=1e-6)
    if kind == "auroc":
        assert fed(AUROC(), given, labels) == pytest.approx(expected, abs=1e-6)


def test_areas_of_many_samples_equal_sklearn() -> None:
    """Rounding does not add up over 50,000 samples."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(50_000, generator=generator) < 0.1).long()
    scores = torch.randn(50_000, generator=generator) + labels
    for kind, metric in METRICS.items():
        one = metric("binary")
        one.update(scores, labels)
        assert one.compute() == pytest.approx(SKLEARN[kind](labels, scores), abs=1e-6)


def test_log_odds_are_those_of_the_softmax() -> None:
    """Where probabilities can be told apart, the log odds that rank logits are theirs."""
    logits = torch.randn(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    expected = torch.logit(logits.softmax(1))
    torch.testing.assert_close(log_odds(logits), expected, rtol=1e-9, atol=1e-9)


def test_large_logits_keep_their_order() -> None:
    """Logits whose probabilities are all 1.0 are still ranked; as probabilities they cannot be."""
    logits = torch.tensor([100.0, 200.0, 300.0, 400.0])
    labels = torch.tensor([0, 0, 1, 1])
    for given in (logits, torch.stack([torch.zeros(4), logits], 1)):
        metric = AUROC("binary")
        metric.update(given, labels)
        assert metric.compute() == 1.0
    control = AUROC("binary", scores="probabilities")
    control.update(logits.sigmoid(), labels)
    assert control.compute() == 0.5


@pytest.mark.parametrize("kind", METRICS)
def test_what_is_not_defined_is_nan(kind: str) -> None:
    """Without samples of a class there is no area, which is not the same as the worst one."""
    logits, labels = scores_and_labels(3, 1, [0, 2])
    per_class = fed(METRICS[kind]("none"), logits, labels)
    assert [math.isnan(per_class[f"{kind}/{index}"]) for index in range(3)] == [False, True, False]
    assert math.isnan(fed(METRICS[kind]("macro"), logits, labels))
    assert math.isnan(fed(METRICS[kind]("weighted"), logits, labels))
    assert not math.isnan(fed(METRICS[kind]("micro"), logits, labels))
    assert math.isnan(fed(METRICS[kind]("binary"), logits[:, 0], torch.zeros(100)))
    assert math.isnan(fed(METRICS[kind](), logits * math.nan, labels))
    single = fed(METRICS[kind]("binary"), logits[:, 0], torch.ones(100))
    assert math.isnan(single) if kind == "auroc" else single == pytest.approx(1.0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_brier_score_equals_sklearn(form: str, num_classes: int) -> None:
    """The multiclass score is scikit-learn's, absent classes included; that of two classes is halved as there."""
    logits, labels = scores_and_labels(num_classes, 3)
    labels = labels.clamp(max=max(1, num_classes - 2))
    probabilities = logits.double().softmax(1)
    expected = oracle.brier_score_loss(labels, probabilities, labels=list(range(num_classes)))
    value = fed(BrierScore(), logits if form == "logits" else probabilities, labels)
    assert value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_binary_brier_score_equals_sklearn(form: str) -> None:
    """Single scores give scikit-learn's score, also where one class is absent."""
    logits, labels = binary()
    for targets in (labels, torch.ones_like(labels)):
        expected = oracle.brier_score_loss(targets, logits.double().sigmoid(), labels=[0, 1])
        given = logits if form == "logits" else logits.sigmoid()
        assert fed(BrierScore(), given, targets) == pytest.approx(expected, abs=1e-6)


def calibration_error(confidence: Tensor, right: Tensor, num_bins: int) -> float:
    """The formula, bin by bin."""
    error = 0.0
    for index in range(num_bins):
        low, high = index / num_bins, (index + 1) / num_bins
        inside = (confidence >= low) & ((confidence < high) | (torch.tensor(index == num_bins - 1) & (confidence <= 1)))
        if inside.any():
            gap = (confidence[inside].mean() - right[inside].double().mean()).abs()
            error += float(inside.double().mean() * gap)
    return error


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_calibration_error_equals_the_formula_and_torchmetrics(form: str, num_bins: int) -> None:
    """Overall it is torchmetrics' value, per class that of the class's probability, both the formula written out."""
    from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

    logits, labels = scores_and_labels(4, 5)
    probabilities = logits.double().softmax(1)
    metric = ExpectedCalibrationError(num_bins, per_class=True)
    values = fed(metric, logits if form == "logits" else probabilities, labels)
    confidence, predicted = probabilities.max(1)
    assert values["ece"] == pytest.approx(calibration_error(confidence, predicted == labels, num_bins), abs=1e-9)
    assert values["ece"] == pytest.approx(
        float(multiclass_calibration_error(probabilities, labels, 4, n_bins=num_bins)), abs=1e-6
    )
    for index in range(4):
        right = labels == index
        expected = calibration_error(probabilities[:, index], right, num_bins)
        assert values[f"ece/{index}"] == pytest.approx(expected, abs=1e-9)
        theirs = binary_calibration_error(probabilities[:, index].contiguous(), right.long(), n_bins=num_bins)
        assert values[f"ece/{index}"] == pytest.approx(float(theirs), abs=1e-6)
    assert fed(ExpectedCalibrationError(num_bins), logits, labels) == pytest.approx(values["ece"], abs=1e-9)


def test_calibration_error_of_single_scores_is_that_of_two_classes() -> None:
    """A single probability p is judged as 1 - p and p; certain and right predictions have no error."""
    logits, labels = binary()
    columns = torch.stack([torch.zeros_like(logits), logits], 1)
    one, two = ExpectedCalibrationError(per_class=True), ExpectedCalibrationError(per_class=True)
    assert fed(one, logits, labels) == pytest.approx(fed(two, columns, labels), abs=1e-12)
    assert fed(ExpectedCalibrationError(), labels.float(), labels) == 0.0


@pytest.mark.parametrize("k", [1, 5, 20, 100, 1000])
def test_recall_at_k_without_ties(k: int) -> None:
    """The share of the positives among the k highest scores, written out with a sort."""
    logits, labels = scores_and_labels(3, 2)
    probabilities = logits.double().softmax(1)[:, 1]
    first = probabilities.argsort(descending=True)[:k]
    expected = int((labels[first] == 1).sum()) / int((labels == 1).sum())
    metric = RecallAtK(k)
    assert metric.name == f"recall_at_{k}"
    assert fed(metric, logits, labels) == pytest.approx(expected, abs=1e-12)


def test_recall_at_k_with_ties_is_the_mean_over_all_orders() -> None:
    """Equal scores count as in random order: the mean over every permutation, whatever the order of the samples."""
    scores, labels = torch.tensor([0.5, 0.9, 0.5, 0.5, 0.1]), torch.tensor([1, 0, 0, 1, 1])
    for k in range(1, 6):
        recalls = []
        for order in itertools.permutations(range(5)):
            ranked = sorted(order, key=lambda index: -float(scores[index]))
            recalls.append(sum(int(labels[index]) for index in ranked[:k]) / 3)
        for shuffled in (torch.arange(5), torch.tensor([3, 4, 2, 1, 0])):
            metric = RecallAtK(k)
            metric.update(scores[shuffled], labels[shuffled])
            assert metric.compute() == pytest.approx(np.mean(recalls), abs=1e-12)


@pytest.mark.parametrize("max_k", [None, 1, 10, 1000])
@pytest.mark.parametrize("normalize", [True, False])
def test_area_under_recall_at_k_is_the_formula(max_k: int | None, normalize: bool) -> None:
    """The sum of recall at 1 ... K over that of the best order, or the plain mean."""
    logits, labels = binary(4)
    logits = logits + torch.linspace(0, 0.01, 100)  # no ties
    last = min(max_k or 100, 100)
    recalls = [fed(RecallAtK(k), logits, labels) for k in range(1, last + 1)]
    num_positive = int(labels.sum())
    best = [min(k, num_positive) / num_positive for k in range(1, last + 1)]
    expected = sum(recalls) / sum(best) if normalize else np.mean(recalls)
    assert fed(AreaUnderRecallAtK(max_k, normalize), logits, labels) == pytest.approx(expected, abs=1e-12)


def test_recall_at_k_at_its_edges() -> None:
    """A perfect order has area 1, without positives there is nothing to find, and the class must exist."""
    labels = torch.tensor([0] * 90 + [1] * 10)
    assert fed(AreaUnderRecallAtK(), torch.linspace(-1, 1, 100), labels) == pytest.approx(1.0)
    assert fed(AreaUnderRecallAtK(positive=0), torch.linspace(-1, 1, 100), labels) == pytest.approx(1.0)
    assert fed(AreaUnderRecallAtK(), torch.linspace(1, -1, 100), labels) < 0.5
    assert math.isnan(fed(RecallAtK(3), torch.linspace(-1, 1, 100), torch.zeros(100)))
    metric = RecallAtK(3, positive=2)
    metric.update(torch.zeros(3), torch.zeros(3))
    with pytest.raises(TrainingError, match="`positive` is class 2, but there are 2 classes"):
        metric.compute()


def test_probabilities_with_few_bits_are_probabilities() -> None:
    """Rows of bfloat16 probabilities that do not add up to 1 exactly are not read as logits."""
    logits, labels = scores_and_labels(10, 9)
    rounded = logits.softmax(1).bfloat16()
    assert not torch.equal(rounded.float().sum(1), torch.ones(100))
    assert fed(BrierScore(), rounded, labels) == fed(BrierScore(scores="probabilities"), rounded, labels)
    assert fed(BrierScore(), rounded, labels) != fed(BrierScore(scores="logits"), rounded, labels)


@pytest.mark.parametrize("metric", [AUROC(), BrierScore(), ExpectedCalibrationError(), RecallAtK(1)])
def test_labels_are_refused(metric: Any) -> None:
    """Where probabilities are needed, labels say that a post-processor should go."""
    with pytest.raises(TrainingError, match="labels carry no probabilities"):
        metric.update(torch.zeros(3, dtype=torch.int64), torch.zeros(3))


def test_values_go_on_after_a_value() -> None:
    """Ranking metrics can be read in between; what follows is added, and `reset` begins anew."""
    logits, labels = binary(1)
    metric = AUROC("binary")
    metric.update(logits[:50], labels[:50])
    first = metric.compute()
    assert first == pytest.approx(oracle.roc_auc_score(labels[:50], logits[:50]), abs=1e-6)
    metric.update(logits[50:], labels[50:])
    assert metric.compute() == pytest.approx(oracle.roc_auc_score(labels, logits), abs=1e-6)
    metric.reset()
    metric.update(logits[:50], labels[:50])
    assert metric.compute() == first


@pytest.mark.parametrize("num_bins", [1, 7, 15])
def test_the_calibration_curve_is_that_of_scikit_learn(num_bins: int) -> None:
    """For single scores the same points (none lies on a border, which is of the bin below there); all samples count."""
    from sklearn.calibration import calibration_curve

    logits, labels = binary()
    probabilities = logits.double().sigmoid()
    table = fed(CalibrationCurve(num_bins, scores="probabilities"), probabilities, labels)
    share, confidence = calibration_curve(labels.numpy(), probabilities.numpy(), n_bins=num_bins)
    filled = [row for row in table if row[2]]
    assert [row[0] for row in filled] == pytest.approx(confidence.tolist())
    assert [row[1] for row in filled] == pytest.approx(share.tolist())
    assert sum(row[2] for row in table) == len(labels)


def test_the_calibration_curve_of_several_classes_gives_their_calibration_error() -> None:
    """The gaps between its columns, weighted by their samples, are the expected calibration error."""
    logits, labels = scores_and_labels(4, 6)
    table = fed(CalibrationCurve(15), logits, labels)
    gaps = sum(abs(confidence - share) * count for confidence, share, count in table) / len(labels)
    assert gaps == pytest.approx(fed(ExpectedCalibrationError(15), logits, labels))
    assert table[0] == [0.0, 0.0, 0.0]
