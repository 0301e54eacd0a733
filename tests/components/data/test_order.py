"""The order of samples."""

from __future__ import annotations

import numpy as np
import pytest

from mlgym.components.data.order import Order, count_repeats, inverse_class_frequency


def test_random_order_is_a_permutation() -> None:
    """Each epoch has every sample once."""
    assert sorted(Order(100, "random", 3).indices(5).tolist()) == list(range(100))


def test_order_depends_on_seed_and_epoch_alone() -> None:
    """The same epoch of the same seed has the same order, whatever ran before."""
    order = Order(100, "random", 3)
    for epoch in (4, 0, 7):
        order.indices(epoch)
    assert np.array_equal(order.indices(5), Order(100, "random", 3).indices(5))
    assert not np.array_equal(order.indices(5), order.indices(6))


def test_neighbouring_seeds_share_no_permutation() -> None:
    """No two of 20 seeds x 20 epochs have one order; with seed + epoch as seed, most do."""
    orders = {Order(50, "random", seed).indices(epoch).tobytes() for seed in range(20) for epoch in range(20)}
    assert len(orders) == 400
    naive = {np.random.default_rng(seed + epoch).permutation(50).tobytes() for seed in range(20) for epoch in range(20)}
    assert len(naive) == 39


def test_sequential_order() -> None:
    """The order of the dataset, in every epoch."""
    assert Order(4).indices(9).tolist() == [0, 1, 2, 3]


def test_weighted_order_balances_classes() -> None:
    """Of 900 samples of one class and 100 of another, both are drawn about equally often."""
    labels = np.repeat([0, 1], [900, 100])
    order = Order(1000, "weighted_random", 1, inverse_class_frequency(labels))
    drawn = np.concatenate([labels[order.indices(epoch)] for epoch in range(10)])
    assert drawn.mean() == pytest.approx(0.5, abs=0.02)
    assert not np.array_equal(order.indices(0), order.indices(1))


def test_inverse_class_frequency_sums_to_the_number_of_classes() -> None:
    """Each class has the same total weight."""
    weights = inverse_class_frequency(np.array([5, 5, 5, 2]))
    assert weights.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])


def test_repeats_are_counted() -> None:
    """Each place knows how often its sample came before."""
    assert count_repeats(np.array([3, 1, 3, 3, 1, 0])).tolist() == [0, 0, 1, 2, 1, 0]
    assert count_repeats(np.array([], dtype=np.int64)).tolist() == []
