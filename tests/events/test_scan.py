"""Which origins are stored: the ranges say the same as a plain set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlgym.events.scan import SeenOrigins


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30))))
def test_ranges_equal_a_set(added: list[tuple[str, int]]) -> None:
    """Whatever order numbers come in, exactly those added are in it, and memory follows the gaps."""
    seen, model = SeenOrigins(), set()
    for producer, seq in added:
        seen.add((producer, seq))
        model.add((producer, seq))
    for producer in "abc":
        assert {seq for seq in range(-1, 40) if (producer, seq) in seen} == {s for p, s in model if p == producer}
        runs = sum((producer, seq) in model and (producer, seq - 1) not in model for seq in range(40))
        assert len(seen._borders.get(producer, [])) == 2 * runs


def test_memory_does_not_grow_with_events() -> None:
    """A million numbers in a row, of which one is missing, take four integers."""
    seen = SeenOrigins()
    seen.update(("p", seq) for seq in range(100_000) if seq != 5)
    assert seen._borders == {"p": [0, 5, 6, 100_000]}
    seen.add(("p", 2**63))
    assert len(seen._borders["p"]) == 6
