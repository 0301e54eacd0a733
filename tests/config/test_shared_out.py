"""Counts that devices share: refused where they are written, where and only where something trains on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from mlgym.config import load, too_small_to_share
from mlgym.config.registry import Registry
from mlgym.config.shared_out import SharedOut

registry = Registry()


class Basket:
    """Apples."""


@registry.register("baskets", outputs="trees")
def baskets(trees: list[str], apples: Annotated[int | dict[str, int], SharedOut()]) -> dict[str, Basket]:
    """Some from each tree."""
    return {tree: Basket() for tree in trees}


@registry.register("basket")
def basket(apples: Annotated[int, SharedOut()], pears: int = 1) -> Basket:
    """Pears are for nobody else."""
    return Basket()


@registry.register("family")
class Family:
    """Shares a basket, and keeps another one."""

    def __init__(self, basket: Basket, *, eaters: int | None = None) -> None:
        self.basket = basket

    def run(self, context: object) -> None:
        """Eats."""


@registry.register("hermit")
class Hermit:
    """Shares nothing."""

    def __init__(self, basket: Basket, family: Family) -> None:
        self.basket = basket

    def run(self, context: object) -> None:
        """Eats."""


def refused(tmp_path: Path, experiment: str, **sections: str) -> list[str]:
    """Where four do not have one each, and of how many."""
    text = "\n".join(["version: 1", *(f"{name}: {value}" for name, value in sections.items())])
    (tmp_path / "fruit.yml").write_text(f"{text}\nexperiment: {experiment}\n")
    faults = too_small_to_share(load(tmp_path / "fruit.yml"), "eaters", 4, registry=registry)
    assert all("must be at least 4, since so many devices share it" in fault.message for fault in faults)
    return [f"{fault.path} {fault.message.rpartition('more than ')[2].partition(' ')[0]}" for fault in faults]


@pytest.mark.parametrize(
    ("apples", "wrong"),
    [
        ("3", ["components.a.apples 3"]),
        ("4", []),
        ("{sweep: [8, 2, 3]}", ["components.a.apples.sweep[1] 2", "components.a.apples.sweep[2] 3"]),
        ("{sweep: {start: 3, stop: 5, num: 3}}", ["components.a.apples.sweep[0] 3"]),
        ("{x: 1, y: 9}", ["components.a.apples.x 1"]),
        ("{x: 9, y: 1}", []),
        ("$vars.few", ["vars.few 1"]),
        ("{sweep: {integer: [2, 9]}}", ["components.a.apples 2"]),
        ("{sweep: {integer: [4, 9]}}", []),
    ],
)
def test_the_number_is_refused_where_it_is_written(apples: str, wrong: list[str], tmp_path: Path) -> None:
    """In each alternative, those that may be drawn included, for the output that is shared."""
    components = f"{{a: {{use: baskets, trees: [x, y], apples: {apples}}}}}"
    assert refused(tmp_path, "{use: family, basket: $a.x}", components=components, vars="{few: 1}") == wrong


def test_only_what_is_shared_counts(tmp_path: Path) -> None:
    """Not the basket of somebody who eats alone, nor another number of it, nor what nobody uses."""
    components = "{a: {use: basket, apples: 9}, b: {use: basket, apples: 1}, c: {use: family, basket: $b}}"
    hermit = "{use: hermit, basket: {use: basket, apples: 1, pears: 1}, family: {use: family, basket: $a}}"
    assert refused(tmp_path, hermit, components=components) == []


def test_behind_alternatives(tmp_path: Path) -> None:
    """One of several baskets, written in place or by name, and alternatives that move together."""
    components = "{a: {sweep: [{use: basket, apples: 9}, {use: basket, apples: 2}]}}"
    family = "{use: family, basket: {sweep: [$a, {use: basket, apples: 1}]}}"
    assert refused(tmp_path, family, components=components) == [
        "components.a.sweep[1].apples 2",
        "experiment.basket.sweep[1].apples 1",
    ]
    together = (
        "{use: family, basket: {sweep: [{use: basket, apples: {sweep: [9, 1], zip: g}}, {use: basket, apples: "
        "{sweep: [1, 9], zip: g}}], zip: g}}"
    )
    assert refused(tmp_path, together) == []
