"""Metrics: values of a whole split, fed batch by batch."""

from mlgym.components.metric.base import NamedMetric, PairMetric, PlainMetric, Score, as_metric
from mlgym.components.metric.regression import R2, MeanAbsoluteError, SquaredErrorMetric

__all__ = [
    "R2",
    "MeanAbsoluteError",
    "NamedMetric",
    "PairMetric",
    "PlainMetric",
    "Score",
    "SquaredErrorMetric",
    "as_metric",
]
