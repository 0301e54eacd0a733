"""Random streams depend on (seed, purpose) alone."""

import os
import subprocess
import sys

import numpy as np

from mlgym.seeding import derive_seed, generator


def test_same_purpose_gives_the_same_stream() -> None:
    """A stream is a pure function of seed and purpose."""
    one, other = generator(3, "order", 5), generator(3, "order", 5)
    assert np.array_equal(one.permutation(1000), other.permutation(1000))


def test_neighbouring_seeds_and_epochs_share_no_permutation() -> None:
    """`seed + epoch` would make (0, 1) and (1, 0) equal; hashing does not."""
    orders = {tuple(generator(seed, "order", epoch).permutation(50)) for seed in range(20) for epoch in range(20)}
    assert len(orders) == 400


def test_a_number_and_its_text_are_different_purposes() -> None:
    """The type of a purpose counts, and so does its position."""
    purposes: list[tuple[str | int, ...]] = [(3,), ("3",), ("a", "b"), ("b", "a"), ("ab",), ()]
    seeds = {derive_seed(0, *purpose) for purpose in purposes}
    assert len(seeds) == 6


def test_seeds_do_not_depend_on_the_process() -> None:
    """The hash seed of the interpreter has no part in it."""
    code = "from mlgym.seeding import derive_seed; print(derive_seed(2, 'components.split'))"
    results = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "random")
    }
    assert len(results) == 1


def test_derived_seeds_fit_every_generator() -> None:
    """They are non-negative and below 2**63."""
    assert all(0 <= derive_seed(seed, "x") < 2**63 for seed in range(1000))
