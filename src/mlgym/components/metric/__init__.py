"""Metrics: values of a whole split, fed batch by batch."""

from mlgym.components.metric.base import NamedMetric, PairMetric, PlainMetric, Score, as_metric
from mlgym.components.metric.calibration import BrierScore, CalibrationCurve, ExpectedCalibrationError
from mlgym.components.metric.classes import ClassMetric
from mlgym.components.metric.labels import F1, Accuracy, BalancedAccuracy, ConfusionMatrix, Precision, Recall
from mlgym.components.metric.ranking import AUROC, AreaUnderRecallAtK, AveragePrecision, RecallAtK
from mlgym.components.metric.regression import R2, MeanAbsoluteError, SquaredErrorMetric

__all__ = [
    "AUROC",
    "F1",
    "R2",
    "Accuracy",
    "AreaUnderRecallAtK",
    "AveragePrecision",
    "BalancedAccuracy",
    "BrierScore",
    "CalibrationCurve",
    "ClassMetric",
    "ConfusionMatrix",
    "ExpectedCalibrationError",
    "MeanAbsoluteError",
    "NamedMetric",
    "PairMetric",
    "PlainMetric",
    "Precision",
    "Recall",
    "RecallAtK",
    "Score",
    "SquaredErrorMetric",
    "as_metric",
]
