"""Which swept values mattered: how much of the variance between configurations each of them explains.

On a complete grid the answer is exact: the decomposition of functional ANOVA, where the share of a value is the
variance of its marginal means. Where points are missing or were drawn at random, a random forest stands in for the
grid, as in Hutter, Hoos and Leyton-Brown 2014, "An Efficient Approach for Assessing Hyperparameter Importance" (ICML
32): the share of a value is then the variance of its partial dependence. Why these two and no further library:
docs/decisions.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import numpy as np

    Points = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    Scores = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_MIN_FOR_FOREST: Final = 10
_MAX_PAIRED_KEYS: Final = 8
_NUM_TREES: Final = 64
_RESOLUTION: Final = 20
_NOTHING: Final = 1e-20


@dataclass(frozen=True, slots=True)
class Share:
    """What one key explains, or two keys together beyond each alone; 0 to 1."""

    keys: tuple[str, ...]
    share: float


@dataclass(frozen=True, slots=True)
class Importances:
    """The shares, the largest first.

    Args:
        method: `anova` on a complete grid, else `forest`.
        shares: of single keys, and of pairs.
        num_configurations: how many they rest on.
        fit: of the forest: R^2 on configurations that its trees did not see; None for `anova`.
    """

    method: Literal["anova", "forest"]
    shares: tuple[Share, ...]
    num_configurations: int
    fit: float | None

    @property
    def unexplained(self) -> float:
        """What is left, for more than two keys together or for what the forest does not see."""
        return max(0.0, 1.0 - sum(one.share for one in self.shares))


def importances(swept: Sequence[Mapping[str, Any]], scores: Sequence[float]) -> Importances | None:
    """Gives how much of the variance of the scores each swept key explains.

    Args:
        swept: the swept values of each configuration, by key; a key that a configuration lacks counts as a value.
        scores: their scores, finite, in the same order.

    Returns:
        None where fewer than two keys vary - a single one explains everything - or there are too few configurations.
    """
    import numpy as np

    values = np.asarray(scores, dtype=np.float64)
    columns = {key: _codes([one.get(key) for one in swept]) for key in dict.fromkeys(k for one in swept for k in one)}
    varying = {key: column for key, column in columns.items() if len(set(column)) > 1}
    if len(varying) < 2 or float(values.var()) <= _NOTHING:
        return None
    points = np.array(list(varying.values()), dtype=np.int64).T  # (configurations, keys)
    if _is_complete(points):
        return Importances("anova", _shares(list(varying), points, values), len(values), None)
    return _by_forest(list(varying), swept, points, values)


def _codes(column: Sequence[Any]) -> list[int]:
    """Gives the number of each value among the different ones, in the order of numbers where all of them are."""
    different = {_key(value): value for value in column}
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in different.values()):
        different = dict(sorted(different.items(), key=lambda item: item[1]))
    numbers = {key: number for number, key in enumerate(different)}
    return [numbers[_key(value)] for value in column]


def _key(value: Any) -> Hashable:
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else repr(value)


def _is_complete(points: Points) -> bool:
    import numpy as np

    size = math.prod(int(column.max()) + 1 for column in points.T)
    return len(points) == size == len(np.unique(points, axis=0))


def _shares(keys: list[str], points: Points, values: Scores) -> tuple[Share, ...]:
    total = float(values.var())
    single = {key: float(_marginal(points[:, [index]], values).var()) / total for index, key in enumerate(keys)}
    shares = [Share((key,), share) for key, share in single.items()]
    if len(keys) <= _MAX_PAIRED_KEYS:
        for (i, one), (j, other) in combinations(enumerate(keys), 2):
            together = float(_marginal(points[:, [i, j]], values).var()) / total
            shares.append(Share((one, other), max(0.0, together - single[one] - single[other])))
    return tuple(sorted(shares, key=lambda one: -one.share))


def _marginal(points: Points, values: Scores) -> Scores:
    """Gives for each configuration the mean over all that share its values of some keys, (configurations,)."""
    import numpy as np

    _, groups = np.unique(points, axis=0, return_inverse=True)
    groups = groups.reshape(-1)
    means: Scores = (np.bincount(groups, weights=values) / np.bincount(groups))[groups]
    return means


def _by_forest(
    keys: list[str], swept: Sequence[Mapping[str, Any]], points: Points, values: Scores
) -> Importances | None:
    """Gives shares by a forest: what it says is asked at the points themselves, which keeps their distribution."""
    if len(values) < max(_MIN_FOR_FOREST, 2 * len(keys)):
        return None
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor

    inputs = np.column_stack(
        [_axis([one.get(key) for one in swept], points[:, i]) for i, key in enumerate(keys)]
    )  # (configurations, keys)
    forest = RandomForestRegressor(_NUM_TREES, oob_score=True, random_state=0, n_jobs=1, max_features=None)
    forest.fit(inputs, values)
    total = float(forest.predict(inputs).var())
    if total <= _NOTHING:
        return None
    single = {key: float(_partial_dependence(forest, inputs, index).var()) / total for index, key in enumerate(keys)}
    # Partial dependences add up to more than the whole where the points drawn are not balanced.
    scale = max(1.0, sum(single.values()))
    shares = sorted((Share((key,), share / scale) for key, share in single.items()), key=lambda one: -one.share)
    return Importances("forest", tuple(shares), len(values), float(forest.oob_score_))


def _axis(column: Sequence[Any], codes: Points) -> Scores:
    """Gives numbers for a forest: the values where all are numbers, else the number of each different one."""
    import numpy as np

    is_number = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in column)
    return np.asarray(column if is_number else codes, dtype=np.float64)


def _partial_dependence(forest: Any, inputs: Scores, index: int) -> Scores:
    """Gives what the forest says of each configuration's value of one key, averaged over the other keys."""
    import numpy as np
    from sklearn.inspection import partial_dependence

    found = partial_dependence(forest, inputs, [index], percentiles=(0, 1), grid_resolution=_RESOLUTION, method="brute")
    dependence: Scores = np.interp(inputs[:, index], found["grid_values"][0], found["average"][0])
    return dependence
