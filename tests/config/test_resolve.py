"""Configs with every default written out, and their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgym.config import Registry, RunFacts, build, config_id, load, resolve, use
from mlgym.config.check import check
from mlgym.errors import ConfigError

from .conftest import Checker
from .parts import parts
from .test_messages import GOOD

FACTS = RunFacts(seed=1)


def resolved(**params: Any) -> dict[str, Any]:
    """Gives the resolved experiment `anything`."""
    found: dict[str, Any] = resolve({"experiment": use("anything", **params)}, registry=parts)["experiment"]
    return found


def test_defaults_are_filled_in(space: Checker) -> None:
    """Every parameter is there, in the order of the signature; references stay, derived seeds stay out."""
    config = resolve(space(GOOD)[3].config, registry=parts)
    assert list(config) == ["version", "name", "seed", "components", "experiment"]
    assert config["components"]["optimizer"] == {
        "use": "adam",
        "model": "$model",
        "lr": 1e-3,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "weight_decay": 0.0,
        "amsgrad": False,
        "foreach": None,
        "maximize": False,
        "capturable": False,
    } | {"lr": config["components"]["optimizer"]["lr"]}
    assert config["components"]["loaders"]["datasets"] == {
        "train": "$split.train",
        "val": "$split.val",
        "test": "$data.test",
    }
    assert "seed" not in config["components"]["split"]
    assert config["components"]["evaluator"]["metrics"][0] == {"use": "f1", "average": "macro"}


def test_defaults_as_a_config_would_write_them() -> None:
    """Enums by value, paths and tuples as text and lists, dollars doubled; nested components too."""
    registry = Registry()

    @registry.register("root")
    def root(
        where: Path = Path("a/b"),
        pair: tuple[int, int] = (1, 2),
        money: str = "$5",
        rate: float = 0,
        unclear: Any = object(),  # noqa: B008 - a default that no config can say
        endless: float = float("inf"),
        wrong: int = None,  # type: ignore[assignment]  # noqa: RUF013 - as people write it
    ) -> object:
        return where

    config = resolve({"experiment": use("root")}, registry=registry)
    assert config["experiment"] == {"use": "root", "where": "a/b", "pair": [1, 2], "money": "$$5", "rate": 0.0}
    assert resolved()["color"] == "red"
    assert resolve(config, registry=registry) == config


def test_numbers_take_the_type_of_their_parameter() -> None:
    """`1` and `1.0` for a float are the same config; whole numbers for ints stay."""
    assert type(resolved(f=1)["f"]) is float
    assert type(resolved(x=1)["x"]) is int
    assert [type(part) for part in resolved(pair=[1, 2])["pair"]] == [int, int]
    assert resolved(table={"a": 1})["table"] == {"a": 1.0}
    assert type(resolved(table={"a": 1})["table"]["a"]) is float
    one, other = (resolve({"experiment": use("anything", f=f)}, registry=parts) for f in (1, 1.0))
    assert config_id(one) == config_id(other)


def test_ids(space: Checker) -> None:
    """The id depends on values, not on the order of keys, and each point has its own."""
    grid = space(GOOD)
    ids = {config_id(resolve(point.config, registry=parts)) for point in grid}
    assert len(ids) == 15
    one = resolve(grid[0].config, registry=parts)
    backwards = dict(reversed(one.items()))
    assert config_id(backwards) == config_id(one)
    assert len(config_id(one)) == 64
    assert config_id({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_a_resolved_config_says_all_that_building_needs(space: Checker) -> None:
    """It is checked as right, is one point, and builds the same."""
    config = resolve(space(GOOD)[3].config, registry=parts)
    grid = check(load(config), registry=parts)
    assert len(grid) == 1
    assert resolve(grid[0].config, registry=parts) == config
    assert build(config, FACTS, registry=parts).trainer.optimizer.betas == (0.9, 0.999)


def test_a_sweep_cannot_be_resolved() -> None:
    """A config of many experiments has no single resolved form."""
    with pytest.raises(ConfigError, match="has no sweeps; unfold it first"):
        resolve({"experiment": use("anything", x={"sweep": [1, 2]})}, registry=parts)


values = st.fixed_dictionaries(
    {},
    optional={
        "x": st.integers(-5, 5) | st.none(),
        "f": st.integers(-5, 5) | st.floats(-5, 5),
        "pair": st.lists(st.integers(0, 3), min_size=2, max_size=2),
        "text": st.text().map(lambda text: "$" + text if text.startswith("$") else text),
        "any_value": st.lists(st.integers(0, 3) | st.just("$m"), max_size=3),
        "thing": st.just({"use": "adam", "model": "$m"}),
        "table": st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)),
    },
)


@given(values)
@settings(max_examples=100, deadline=None)
def test_resolving_twice_changes_nothing(params: dict[str, Any]) -> None:
    """Resolving is a projection, and what is built from the config stays the same."""
    text = params.get("text", "")
    params = {
        key: value for key, value in params.items() if key != "text" or not text.startswith("$") or text[1:2] == "$"
    }
    config = {"components": {"m": use("mlp", hidden=[1])}, "experiment": use("anything", **params)}
    once = resolve(config, registry=parts)
    assert resolve(once, registry=parts) == once
    first, second = (build(one, FACTS, registry=parts).given for one in (config, once))
    for key in ("x", "f", "pair", "text", "table"):
        assert first[key] == second[key]
