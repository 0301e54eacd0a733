"""The search space: numbering, sums and products, zips, scopes, and that it is lazy."""

from __future__ import annotations

import gc
import itertools
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgym.config import Plan, load
from mlgym.config.check import check
from tests.work import num_calls

from .conftest import Checker, Faults
from .parts import parts

RUN = "experiment: {use: anything, %s}\n"


def swept(space: Plan) -> list[dict[str, Any]]:
    """Gives what is swept at each point."""
    return [point.swept for point in space]


@pytest.mark.slow
def test_order_is_that_of_a_parameter_grid(space: Checker) -> None:
    """Axes are sorted by key path and the last varies fastest, in whatever order they are written."""
    from sklearn.model_selection import ParameterGrid

    one = space(RUN % "x: {sweep: [3, 1, 2]}, f: {sweep: [0.5, 0.25]}, text: {sweep: [b, a]}")
    other = space(RUN % "text: {sweep: [b, a]}, f: {sweep: [0.5, 0.25]}, x: {sweep: [3, 1, 2]}")
    grid = ParameterGrid({"experiment.x": [3, 1, 2], "experiment.f": [0.5, 0.25], "experiment.text": ["b", "a"]})
    assert swept(one) == swept(other) == list(grid)


def test_list_indices_are_sorted_as_numbers(space: Checker) -> None:
    """The tenth item comes after the second."""
    items = ", ".join("{sweep: [0, 1]}" if i in (2, 10) else "0" for i in range(11))
    grid = space(RUN % f"things: [{items}]")
    assert grid.swept_paths == ("experiment.things.2", "experiment.things.10")
    assert list(grid[1].swept.values()) == [0, 1]


def test_nested_sweeps_are_sums_of_products(space: Checker) -> None:
    """What varies inside an alternative multiplies that alternative alone."""
    grid = space(
        """
        components:
          m: {use: mlp, hidden: [1]}
          opt:
            sweep:
              - {use: adam, model: $m, lr: {sweep: [1, 2]}, eps: {sweep: [3, 4]}}
              - {use: sgd, model: $m, lr: 1}
              - {use: sgd, model: $m, lr: {sweep: [5, 6, 7]}}
        experiment: {use: anything, thing: $opt, x: {sweep: [1, 2]}}
        """
    )
    assert len(grid) == (2 * 2 + 1 + 3) * 2
    assert grid[2].swept == {"opt": "adam", "opt.eps": 3, "opt.lr": 2, "experiment.x": 1}
    assert [grid[i].swept["opt"] for i in (0, 8, 10)] == ["adam", "sgd(lr=1)", "sgd"]
    assert len({json.dumps(point.config) for point in grid}) == len(grid)


def test_labels_say_what_differs(space: Checker) -> None:
    """Alternatives of one name show the parameters that tell them apart; equal ones their number."""
    alternatives = (
        "[{use: adam, model: $m, lr: 1}, {use: adam, model: $m, lr: 0.5}, {use: sgd, model: $m, lr: 1},"
        " {use: sgd, model: $m, lr: 1}, $m, null]"
    )
    grid = space(RUN % f"thing: {{sweep: {alternatives}}}" + "components: {m: {use: mlp, hidden: []}}")
    assert [point.swept["experiment.thing"] for point in grid] == [
        "adam(lr=1)",
        "adam(lr=0.5)",
        "sgd[2]",
        "sgd[3]",
        "$m",
        None,
    ]


def test_alternatives_of_alternatives(space: Checker) -> None:
    """A sweep that is itself an alternative has one name and shows the value in the end."""
    grid = space(RUN % "x: {sweep: [{sweep: [1, 2]}, 3]}")
    assert swept(grid) == [{"experiment.x": 1}, {"experiment.x": 2}, {"experiment.x": 3}]


def test_a_swept_name_shares_its_parameters(space: Checker) -> None:
    """`use` itself may be swept; a sweep beside it is one axis."""
    grid = space(
        RUN % "thing: {use: {sweep: [adam, sgd]}, model: $m, lr: {sweep: [1, 2]}}"
        + "components: {m: {use: mlp, hidden: []}}"
    )
    assert [tuple(point.swept.values()) for point in grid] == [(1, "adam"), (1, "sgd"), (2, "adam"), (2, "sgd")]
    assert grid[1].config["experiment"]["thing"] == {"use": "sgd", "model": "$m", "lr": 1}


def test_a_value_used_twice_moves_together(space: Checker) -> None:
    """A sweep in `vars` is one axis; an alias of the same text is two (the control)."""
    together = space(RUN % "x: $vars.n, thing: [$vars.n]" + "vars: {n: {sweep: [1, 2]}}")
    assert [point.config["experiment"]["x"] for point in together] == [1, 2]
    assert [point.config["experiment"]["thing"] for point in together] == [[1], [2]]
    assert together.swept_paths == ("vars.n",)
    assert len(space("experiment: {use: anything, x: &n {sweep: [1, 2]}, thing: [*n]}")) == 4


def test_zipped_sweeps_move_together(space: Checker) -> None:
    """A group is one axis, at the place of its first key; groups multiply each other."""
    grid = space(
        RUN % "x: {sweep: [1, 2], zip: a}, f: {sweep: [0.5, 0.25], zip: a}, text: {sweep: [u, v], zip: b}"
        + "seed: {sweep: [7, 8], zip: b}"
    )
    assert [tuple(point.swept[key] for key in ("experiment.f", "experiment.x", "seed")) for point in grid] == [
        (0.5, 1, 7),
        (0.5, 1, 8),
        (0.25, 2, 7),
        (0.25, 2, 8),
    ]
    assert [point.config["seed"] for point in grid] == [7, 8, 7, 8]


def test_zipped_alternatives_may_hold_sweeps(space: Checker) -> None:
    """What varies in one member's alternative multiplies that joint alternative."""
    grid = space(RUN % "x: {sweep: [1, 2], zip: a}, thing: {sweep: [{p: {sweep: [3, 4]}}, 5], zip: a}")
    assert [(p.config["experiment"]["x"], p.config["experiment"]["thing"]) for p in grid] == [
        (1, {"p": 3}),
        (1, {"p": 4}),
        (2, 5),
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("x: {sweep: [1, 2], zip: a}, f: {sweep: [1, 2, 3], zip: a}", "zip group `a` needs equal lengths"),
        (
            "thing: {sweep: [{p: {sweep: [1, 2], zip: a}}, 3]}, x: {sweep: [1, 2], zip: a}",
            "zip group `a` cannot join sweeps inside different alternatives",
        ),
        (
            "thing: {sweep: [{p: {sweep: [1, 2], zip: a}}, {q: {sweep: [1, 2], zip: a}}]}",
            "zip group `a` cannot join sweeps inside different alternatives",
        ),
        ("x: {sweep: [1], zip: 3}", "`zip` takes the name of a group"),
    ],
)
def test_zips_that_cannot_be(faults: Faults, values: str, message: str) -> None:
    """Members must have equal lengths and lie in the same alternative."""
    (fault,) = faults(RUN % values)
    assert message in fault


def test_zips_inside_one_alternative(space: Checker) -> None:
    """A group may lie inside an alternative as a whole."""
    assert len(space(RUN % "thing: {sweep: [{p: {sweep: [1, 2], zip: a}, q: {sweep: [3, 4], zip: a}}, 5]}")) == 3


def test_zip_groups_that_hold_each_other(faults: Faults) -> None:
    """Two groups whose members lie crosswise inside each other are refused, not followed forever."""
    (fault,) = faults(
        """
        components:
          b: {use: anything, x: {sweep: [1, 2], zip: h}}
          c: {use: anything, x: {sweep: [1, 2], zip: g}}
        experiment:
          use: anything
          thing: {sweep: [$b, 1], zip: g}
          any_value: {sweep: [$c, 1], zip: h}
        """
    )
    assert "lie inside each other" in fault


def test_a_component_that_some_alternatives_need(space: Checker) -> None:
    """Its sweep multiplies these alternatives alone, so that no experiment is there twice."""
    grid = space(
        """
        vars: {lr: {sweep: [1, 2, 3]}}
        components:
          m: {use: mlp, hidden: [1]}
          extra: {use: mlp, hidden: [{sweep: [5, 6]}]}
          opt:
            sweep:
              - {use: adam, model: $m, lr: $vars.lr}
              - {use: sgd, model: $extra, lr: 1}
              - {use: sgd, model: $m, lr: $vars.lr}
        experiment: {use: anything, thing: $opt}
        """
    )
    assert len(grid) == 3 + 2 + 3
    assert len({json.dumps(point.config) for point in grid}) == 8
    assert set(grid[0].config["components"]) == {"m", "opt"}
    assert set(grid[3].config["components"]) == {"extra", "opt"}
    assert grid[4].swept == {"opt": "sgd(model=$extra, lr=1)", "extra.hidden.0": 6}


def test_what_all_alternatives_need_is_an_axis_of_its_own(space: Checker) -> None:
    """Needed everywhere, a sweep stands beside the others and the grid is their product, in the usual order."""
    grid = space(
        """
        components:
          a: {use: mlp, hidden: [{sweep: [5, 6]}]}
          opt: {sweep: [{use: adam, model: $a}, {use: sgd, model: $a, lr: 1}]}
        experiment: {use: anything, thing: $opt}
        """
    )
    assert [tuple(point.swept.values()) for point in grid] == [(5, "adam"), (5, "sgd"), (6, "adam"), (6, "sgd")]


def test_references_as_alternatives(space: Checker) -> None:
    """Named components as alternatives bring their own sweeps."""
    grid = space(
        """
        components:
          m: {use: mlp, hidden: [1]}
          a: {use: adam, model: $m, lr: {sweep: [1, 2, 3]}}
          s: {use: sgd, model: $m, lr: {sweep: [1, 2]}}
          opt: {sweep: [$a, $s]}
        experiment: {use: anything, thing: $opt}
        """
    )
    assert len(grid) == 5
    assert grid[4].swept == {"opt": "$s", "s.lr": 2}


def test_an_unused_variable_is_noted(space: Checker) -> None:
    """Such as one that was misspelled on the command line; one that another variable needs is used."""
    grid = space(RUN % "x: $vars.a" + "vars: {a: $vars.b, b: 1, c: 2}", ["vars.d=3"])
    assert [note.message for note in grid.notes] == [f"`{x}` is not used: nothing refers to `$vars.{x}`" for x in "cd"]


def test_an_unused_component_is_noted(space: Checker) -> None:
    """It is no error, adds no experiments, and is not part of their configs."""
    grid = space(RUN % "x: 1" + "components: {u: {use: mlp, hidden: [{sweep: [1, 2]}]}, v: {use: mlp, hidden: []}}")
    assert len(grid) == 1
    assert [note.message for note in grid.notes] == [
        "`u` is not used by the experiment; its sweep adds no experiments",
        "`v` is not used by the experiment",
    ]
    assert grid[0].config["components"] == {}


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ("{start: 1, stop: 4, num: 4}", [1, 2, 3, 4]),
        ("{start: 10, stop: 0, num: 3}", [10, 5, 0]),
        ("{start: 0, stop: 1, num: 3}", [0.0, 0.5, 1.0]),
        ("{start: 0.1, stop: 0.3, num: 3}", [0.1, 0.2, 0.3]),
        ("{start: 1e-4, stop: 1e-1, num: 4, scale: log}", [1e-4, 1e-3, 1e-2, 1e-1]),
        ("{start: 1, stop: 1000, num: 4, scale: log}", [1, 10, 100, 1000]),
        ("{start: 1, stop: 2, num: 3, scale: log}", [1.0, 1.41421356237, 2.0]),
        ("{start: 5, stop: 9, num: 1}", [5]),
        ("{start: 0, stop: 9007199254740993, num: 2}", [0, 9007199254740993]),
        ("{start: 1, stop: 2, num: 2, scale: linear}", [1, 2]),
    ],
)
def test_ranges(space: Checker, values: str, numbers: list[float]) -> None:
    """Ends are exact, digits are clean, and whole numbers stay whole where all of them are."""
    grid = space(RUN % f"any_value: {{sweep: {values}}}")
    found = [point.config["experiment"]["any_value"] for point in grid]
    assert found == numbers
    assert [type(number) for number in found] == [type(number) for number in numbers]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{start: 1, stop: 2}", "a range needs `num` too"),
        ("{start: 1, stop: 2, num: 0}", "`num` must be a whole number from 1 to 1,000,000, got 0"),
        ("{start: 1, stop: 2, num: 1e3}", "`num` must be a whole number"),
        ("{start: 1, stop: 2, num: true}", "`num` must be a whole number"),
        ("{start: 1, stop: 2, num: 10000000}", "`num` must be a whole number"),
        ("{start: a, stop: 2, num: 2}", "`start` must be a number, got a"),
        ("{start: 0, stop: 2, num: 2, scale: log}", "`start` must be greater than 0 on a log scale, got 0"),
        ("{start: 1, stop: 2, num: 2, scale: ln}", "`scale` is `linear` or `log`, got ln"),
        ("{start: 1, stop: 2, num: 2, step: 1}", "a range has no `step`; did you mean `stop`?"),
        ("{start: -1e308, stop: 1e308, num: 3}", "a range cannot span so much"),
        ("{uniform: [1, 2], integer: [1, 2]}", "a distribution stands alone: one of `uniform`, `integer`"),
        ("{uniform: 3}", "`uniform` takes two numbers, [smallest, largest], got 3"),
        ("{integer: [1, 2.5]}", "`integer` takes two whole numbers, [smallest, largest], got [1, 2.5]"),
        ("{uniform: [2, 1]}", "`uniform` takes the smaller number first"),
        ("{log_uniform: [0, 1]}", "`log_uniform` needs numbers greater than 0"),
        ("{integer: [-9000000000000000000, 9000000000000000000]}", "`integer` cannot span so much"),
        ("{uniforme: [1, 2]}", "a range has no `uniforme`; did you mean `uniform`?"),
        ("[]", "a sweep needs at least one alternative"),
        ("3", "`sweep` takes a list of alternatives, a range"),
    ],
)
def test_sweeps_that_cannot_be(faults: Faults, values: str, message: str) -> None:
    """Each says what is missing or wrong."""
    (fault,) = faults(RUN % f"any_value: {{sweep: {values}}}")
    assert message in fault


def test_nothing_stands_beside_a_sweep(faults: Faults) -> None:
    """Parameters beside `sweep` would be lost, so they are refused."""
    (fault,) = faults(RUN % "thing: {sweep: [1], lr: 3}")
    assert "`lr` cannot stand beside `sweep`" in fault
    (fault,) = faults(RUN % "thing: {use: sgd, sweep: {lr: [1, 2]}}")
    assert fault.endswith("for alternatives of `lr` write `lr: {sweep: [...]}`")


def test_indices(space: Checker) -> None:
    """Points are numbered from 0; there is no negative one, and a slice is a list."""
    grid = space(RUN % "x: {sweep: [1, 2, 3]}")
    for index in (3, -1, 10**30):
        with pytest.raises(IndexError, match="there are 3"):
            grid[index]
    assert [point.experiment_id for point in grid[1:]] == [1, 2]
    assert [point.experiment_id for point in grid] == [0, 1, 2]


def test_a_grid_beyond_all_numbers_is_refused(faults: Faults, space: Checker) -> None:
    """More points than Python can count in a `len` have a message; just fewer are fine (the control)."""
    digits = ["{sweep: {start: 0, stop: 9, num: 10}}"] * 19
    assert "the grid has 1e+19 points; sweep over less" in faults(RUN % f"things: [{', '.join(digits)}]")[0]
    smaller = space(RUN % f"things: [{', '.join(digits[1:])}]")
    assert smaller[10**18 - 1].config["experiment"]["things"] == [9] * 18


def large_config() -> dict[str, Any]:
    """Gives 25 components and 100,000 points."""
    model = {"use": "mlp", "hidden": [3]}
    rates = {"sweep": {"start": 1, "stop": 10, "num": 10}}
    components: dict[str, Any] = {"m": model}
    for i in range(24):
        components[f"c{i}"] = {"use": "adam", "model": "$m", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8}
    for i in range(5):
        components[f"c{i}"]["lr"] = rates
    return {"components": components, "experiment": {"use": "anything", "things": [f"$c{i}" for i in range(24)]}}


def test_a_large_grid_is_quick_and_small() -> None:
    """100,000 points are checked and counted with less than one call each, one is reached directly, none is kept."""
    check(load(large_config()), registry=parts)  # pydantic's adapters are made once
    grid, num_to_check = num_calls(lambda: check(load(large_config()), registry=parts))
    assert len(grid) == 100_000
    assert num_to_check < 100_000
    point, num_to_reach = num_calls(lambda: grid[99_999])
    assert num_to_reach < 5_000
    assert point.swept == {f"c{i}.lr": 10 for i in range(5)}
    tracemalloc.start()
    try:
        for i in range(0, 100_000, 500):
            grid[i]
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_checking_costs_the_sum_of_alternatives(space: Checker) -> None:
    """Thousands of alternatives in each of many lists are looked at one by one, not together."""
    sweeps = ", ".join(["{sweep: {start: 1, stop: 200, num: 200}}"] * 6)
    found, num_to_check = num_calls(lambda: space(RUN % f"thing: {{use: mlp, hidden: [{sweeps}]}}"))
    assert len(found) == 200**6
    assert num_to_check < 1_000_000


values = st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True)


@given(st.dictionaries(st.sampled_from("abcdefgh"), values, max_size=5))
@settings(max_examples=100, deadline=None)
def test_points_are_the_product(axes: dict[str, list[int]]) -> None:
    """Every combination is there once, in the order of `itertools.product` over sorted keys."""
    table = {key: {"sweep": numbers} for key, numbers in axes.items()}
    grid = check(load({"experiment": {"use": "anything", "any_value": table}}), registry=parts)
    names = sorted(axes)
    expected = [dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*(axes[name] for name in names))]
    assert [dict(sorted(point.config["experiment"]["any_value"].items())) for point in grid] == expected


trees = st.recursive(
    st.integers(0, 9),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, min_size=1, max_size=3).map(lambda alternatives: {"sweep": alternatives}),
    ),
    max_leaves=12,
)


def unfolded(tree: Any) -> list[Any]:
    """Gives all points of nested sweeps, by plain recursion."""
    if isinstance(tree, dict):
        return [point for alternative in tree["sweep"] for point in unfolded(alternative)]
    if isinstance(tree, list):
        return [list(parts) for parts in itertools.product(*(unfolded(part) for part in tree))]
    return [tree]


@given(trees)
@settings(max_examples=200, deadline=None)
def test_nested_points_are_those_of_plain_recursion(tree: Any) -> None:
    """However sweeps lie inside each other, count and points are the sum and product that recursion gives."""
    grid = check(load({"experiment": {"use": "anything", "any_value": tree}}), registry=parts)
    found = [point.config["experiment"]["any_value"] for point in grid]
    assert sorted(map(repr, found)) == sorted(map(repr, unfolded(tree)))
