"""Between which values a metric lies, by its name: an interval must not promise an accuracy above 1."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final, TypeAlias

Bounds: TypeAlias = tuple[float, float]
"""The smallest and the largest value that there can be; infinities for none."""

UNBOUNDED: Final[Bounds] = (-math.inf, math.inf)
_SHARES: Final = frozenset(
    """
    accuracy f1 fbeta precision recall specificity sensitivity auroc auc auprc jaccard iou dice ndcg mrr
    """.split()  # noqa: SIM905 - reads better as text
)
_AT_LEAST_NOTHING: Final = frozenset(
    ["mse", "mae", "rmse", "msle", "rmsle", "medae", "mape", "smape", "error", "brier"]
)
_CORRELATIONS: Final = frozenset(["mcc", "matthews", "kappa", "pearson", "spearman", "kendall", "correlation"])
_AT_MOST_ONE: Final = frozenset(["r2"])


def bounds_of(metric: str, values: Iterable[float]) -> Bounds:
    """Gives the bounds of a metric that is well known.

    Args:
        metric: `split/metric`.
        values: what was measured; where one lies beyond the bounds the name means something else, such as per cent.
    """
    words = set(re.split(r"[/_]", metric.partition("/")[2].lower()))
    if words & _AT_LEAST_NOTHING:
        low, high = 0.0, math.inf
    elif words & _SHARES:
        low, high = 0.0, 1.0
    elif words & _CORRELATIONS:
        low, high = -1.0, 1.0
    elif words & _AT_MOST_ONE:
        low, high = -math.inf, 1.0
    else:
        return UNBOUNDED
    return (low, high) if all(low <= value <= high for value in values) else UNBOUNDED
