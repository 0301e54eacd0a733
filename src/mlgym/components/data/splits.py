"""Random splits of a dataset, plain or with the same share of each class in every part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field
from torch.utils.data import Dataset

from mlgym import seeding
from mlgym.components.data.labels import Labels, labels_of, num_samples_of
from mlgym.components.data.operations import select
from mlgym.components.data.order import Indices
from mlgym.config.registry import register
from mlgym.config.whole_value import Whole
from mlgym.errors import DataError

Share: TypeAlias = Annotated[int | float, Field(ge=0)]
_Shares: TypeAlias = npt.NDArray[np.float64]
_TOLERANCE: Final = 1e-6


def _complaint(fractions: Mapping[str, float]) -> str | None:
    """Gives what is wrong with fractions of any dataset."""
    if not fractions:
        return "names no part"
    total = sum(fractions.values())
    # What whole numbers have to sum to is known with the data.
    if abs(total - 1) <= _TOLERANCE or all(isinstance(value, int) for value in fractions.values()):
        return None
    sums = " + ".join(f"{name} {value:g}" for name, value in fractions.items())
    return f"must sum to 1, or be whole numbers that sum to the size of the dataset, but {sums} is {total:g}"


Fractions: TypeAlias = Annotated[dict[str, Share], Whole(_complaint)]
"""The share of each part, by name."""


@register("random_split", outputs="fractions")
def random_split(dataset: Dataset[Any], fractions: Fractions, *, seed: int) -> dict[str, Dataset[Any]]:
    """Splits a dataset at random into disjoint parts that together have every sample.

    Args:
        dataset: any dataset with a length.
        fractions: the share of each part, in [0, 1] and summing to 1, or whole numbers of samples that sum to the
            size of the dataset. Parts are rounded to whole samples so that the largest remainders are rounded up.
        seed: of the permutation, >= 0.

    Returns:
        The parts by name, each in random order.

    Raises:
        DataError: the shares sum to something else.
    """
    num_samples = num_samples_of(dataset)
    sizes = round_shares(num_samples, _shares(fractions, num_samples))
    permutation = seeding.generator(seed, "split").permutation(num_samples)
    parts = np.split(permutation, np.cumsum(sizes)[:-1])
    return {name: select(dataset, part) for name, part in zip(fractions, parts, strict=True)}


@register("stratified_split", outputs="fractions")
def stratified_split(
    dataset: Dataset[Any], fractions: Fractions, *, seed: int, target: str | None = None
) -> dict[str, Dataset[Any]]:
    """Splits a dataset at random so that each part has the same share of every class.

    Of each class, a part has its share to within one sample; the sizes of the parts are those of `random_split`.

    Args:
        dataset: any dataset whose targets are class indices (samples,).
        fractions: the share of each part, in [0, 1] and summing to 1, or whole numbers of samples that sum to the
            size of the dataset.
        seed: of the permutation, >= 0.
        target: which target has the classes, where targets have names.

    Returns:
        The parts by name, each in random order.

    Raises:
        DataError: the shares sum to something else, or the targets are no class indices.
    """
    num_samples = num_samples_of(dataset)
    shares = _shares(fractions, num_samples)
    parts = stratify(labels_of(dataset, target), shares, seeding.generator(seed, "stratified split"))
    return {name: select(dataset, part) for name, part in zip(fractions, parts, strict=True)}


def round_shares(total: int, shares: _Shares) -> npt.NDArray[np.int64]:
    """Gives whole numbers in proportion to `shares` that sum to `total`.

    Args:
        total: >= 0.
        shares: float64 (parts,), summing to 1.

    Source: the method of largest remainders (Hamilton); ties go to the earlier part.
    """
    # The last bits of 0.7 * 10 must not decide who gets a sample.
    exact = np.round(total * shares, 9)
    sizes = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(-(exact - sizes), kind="stable")
    sizes[by_remainder[: total - int(sizes.sum())]] += 1
    return sizes


def stratify(labels: Labels, shares: _Shares, generator: np.random.Generator) -> list[Indices]:
    """Gives the samples of each part, int64 (part,), in random order.

    Args:
        labels: int64 (samples,).
        shares: float64 (parts,), summing to 1.
        generator: of the permutations.
    """
    classes, counts = np.unique(labels, return_counts=True)
    sizes = _sizes_per_class(counts, shares)  # (classes, parts)
    members: list[list[Indices]] = [[] for _ in shares]
    for label, row in zip(classes, sizes, strict=True):
        of_class = generator.permutation(np.flatnonzero(labels == label))
        for part, chunk in zip(members, np.split(of_class, np.cumsum(row)[:-1]), strict=True):
            part.append(chunk)
    return [generator.permutation(np.concatenate(part)) if part else np.empty(0, np.int64) for part in members]


def _sizes_per_class(counts: npt.NDArray[np.int64], shares: _Shares) -> npt.NDArray[np.int64]:
    """Rounds counts x shares so that both classes and parts come out whole, each cell to within one.

    Source: the construction of a 0-or-1 matrix with given row and column sums by always serving the column that
    still needs most (Gale 1957, Ryser 1957).
    """
    exact = np.round(counts[:, None] * shares, 9)  # (classes, parts)
    sizes = np.floor(exact).astype(np.int64)
    wanted = round_shares(int(counts.sum()), shares) - sizes.sum(axis=0)  # (parts,)
    for row in range(len(counts)):
        # Parts without a share must stay empty; among equal needs the largest remainder goes first.
        need = np.where(exact[row] > 0, wanted, -len(counts))
        chosen = np.lexsort((-(exact[row] - sizes[row]), -need))[: counts[row] - int(sizes[row].sum())]
        sizes[row, chosen] += 1
        wanted[chosen] -= 1
    return sizes


def _shares(fractions: Mapping[str, float], num_samples: int) -> _Shares:
    if not fractions:
        raise DataError("`fractions` names no part")
    values = np.array(list(fractions.values()), dtype=np.float64)
    total = float(values.sum())
    if abs(total - 1) <= _TOLERANCE:
        return values / total
    if all(isinstance(value, int) for value in fractions.values()) and total == num_samples:
        return values / total
    raise DataError(
        f"`fractions` must sum to 1, or be whole numbers that sum to the {num_samples} samples of the dataset, "
        f"but sum to {total:g}"
    )
