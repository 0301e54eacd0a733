"""Scores that are waited for in vain, and values whose parts do not fit each other: told when a config is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from mlgym.config import load
from mlgym.config.check import check
from mlgym.config.given import Given
from mlgym.config.registry import Registry
from mlgym.config.scores import ScoreName
from mlgym.config.whole_value import Whole
from mlgym.errors import ConfigError

registry = Registry()


def _complaint(shares: dict[str, int]) -> str | None:
    return None if sum(shares.values()) == 10 else f"sums to {sum(shares.values())}"


@registry.register("rule")
class Rule:
    """Waits for a score."""

    def __init__(self, metric: ScoreName | None = None) -> None:
        self.metric = metric


@registry.register("sets", outputs="shares")
def sets(shares: Annotated[dict[str, int], Whole(_complaint)], watch: Rule | None = None) -> dict[str, str]:
    """Parts of something."""
    return dict.fromkeys(shares, "")


@registry.register("measured")
class Measured:
    """An experiment that says what it measures."""

    def __init__(
        self, sets: dict[str, str], kind: str | list[str] = "loss", rule: Rule | None = None, note: str = ""
    ) -> None:
        self.rule = rule

    @classmethod
    def scores_of(cls, given: Given) -> list[str]:
        """One of each kind on each set."""
        kinds = [
            str(one.value) for kind in given.parameter("kind") for one in (kind.items() if kind.is_list else [kind])
        ]
        return [f"{name}/{kind}" for each in given.parameter("sets") for name in each.names() for kind in kinds]

    def run(self, context: object) -> None:
        """Measures."""


@registry.register("further")
class Further(Measured):
    """Inherits what is said of another class, which need not hold for this one."""


@registry.register("told")
def told(shares: Annotated[dict[str, int] | None, Whole(lambda shares: None)] = None) -> dict[str, str]:
    """Parts that nobody knows before."""
    return {}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def faults(experiment: str, **components: str) -> list[str]:
    """What is wrong, as lines without the file."""
    named = [f"  {name}: {text}" for name, text in {"sets": "{use: sets, shares: {a: 5, b: 5}}", **components}.items()]
    Path("c.yml").write_text("\n".join(["version: 1", f"experiment: {experiment}", "components:", *named]))
    try:
        check(load("c.yml"), registry=registry)
    except ConfigError as error:
        return [str(fault).removeprefix("c.yml:") for fault in error.faults]
    return []


def test_the_place_and_the_nearest_are_told() -> None:
    """Where the score is named, behind references and in one alternative of many."""
    experiment = "{use: measured, sets: $sets, kind: f1, rule: $rule}"
    assert faults(experiment, rule="{use: rule, metric: a/f2}") == [
        "5:21: components.rule.metric: `a/f2` is not evaluated; did you mean `a/f1`? (known: a/f1, b/f1)"
    ]
    (fault,) = faults(experiment, rule="{use: rule, metric: {sweep: [a/f1, b/f1, c/f1]}}")
    assert "components.rule.metric.sweep[2]: `c/f1` is not evaluated" in fault


@pytest.mark.parametrize(
    ("experiment", "components"),
    [
        ("{use: measured, sets: $sets, kind: f1, rule: {use: rule, metric: a/f1}}", {}),
        # That of one class; nothing; what one alternative measures; what nobody uses.
        ("{use: measured, sets: $sets, kind: f1, rule: {use: rule, metric: a/f1/3}}", {}),
        ("{use: measured, sets: $sets, kind: f1, rule: {use: rule, metric: null}}", {}),
        ("{use: measured, sets: $sets, kind: {sweep: [f1, [f2, f3]]}, rule: {use: rule, metric: b/f3}}", {}),
        ("{use: measured, sets: $sets, kind: f1}", {"unused": "{use: rule, metric: c/f1}"}),
        # What cannot be known.
        ("{use: further, sets: $sets, kind: f1, rule: {use: rule, metric: c/f1}}", {}),
        ("{use: measured, sets: $other, kind: f1, rule: {use: rule, metric: c/f1}}", {"other": "{use: told}"}),
        ("{use: measured, sets: $sets, kind: f1, rule: {use: rule, metric: $run.dir}}", {}),
    ],
)
def test_what_may_be_is_fine(experiment: str, components: dict[str, str]) -> None:
    """No false alarm: what only building shows is left to the experiments."""
    assert faults(experiment, **components) == []


@pytest.mark.parametrize(
    ("experiment", "components", "told"),
    [
        # Of parts that are wrong themselves nothing is known.
        ("{use: measured, sets: $sets, kin: f1, rule: $rule}", {}, ["no parameter `kin`"]),
        ("{use: measured, sets: $sets, kind: 3, rule: $rule}", {}, ["experiment.kind: "]),
        ("{use: measured, sets: $sest, kind: f1, rule: $rule}", {}, ["no component named `sest`"]),
        ("{use: measured, sets: $sets, kind: f1, rule: $rule}", {"sets": "{use: sets, shares: {a: 3}}"}, ["sums to 3"]),
        ("{use: measured, sets: $sets, kind: $vars.kind, rule: $rule}", {}, ["`vars` has no `kind`"]),
        ("{use: measured, sets: $a, kind: f1, rule: $rule}", {"a": "$b", "b": "$a"}, ["in a circle"]),
        # Others do not matter.
        ("{use: measured, sets: $sets, kind: f1, rul: 3, rule: $rule}", {}, ["no parameter `rul`"]),
        ("{use: measured, sets: $sets, kind: f1, rule: $rule, note: 3}", {}, ["c/f1", "experiment.note: "]),
        ("{use: measured, sets: $sets, kind: f1, rule: $rule}", {"other": "{use: tolt}"}, ["c/f1", "as `tolt`"]),
        ("{use: measured, sets: $sets, kind: f1, rule: {use: rule, metric: 3}}", {}, ["rule.metric: "]),
    ],
)
def test_beside_other_faults(experiment: str, components: dict[str, str], told: list[str]) -> None:
    """One run of `mlgym check` tells all that is wrong, and each mistake once."""
    found = faults(experiment, rule="{use: rule, metric: c/f1}", **components)
    assert [sum(text in fault for fault in found) for text in told] == [1] * len(told)
    assert len(found) == len(told)


def test_a_look_ends() -> None:
    """Alternatives that lead to alternatives multiply; thirty of them in a row are not gone through."""
    chain = {f"s{i}": f"{{sweep: [$s{i + 1}, $s{i + 1}]}}" for i in range(30)}
    experiment = "{use: measured, sets: $s0, kind: f1, rule: {use: rule, metric: c/f1}}"
    assert faults(experiment, **chain, s30="$sets") == []


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ("{a: 3, b: 7}", []),
        ("{a: 3, b: 6}", ["4:21: components.sets.shares: sums to 9"]),
        ("{sweep: [{a: 3, b: 7}, {a: 3, b: 6}]}", ["4:52: components.sets.shares.sweep[1]: sums to 9"]),
        ("{a: {sweep: [3, 4]}, b: 7}", ["4:21: components.sets.shares: sums to 11"]),
        # Moved together, they always fit.
        ("{a: {sweep: [3, 4], zip: z}, b: {sweep: [7, 6], zip: z}}", []),
        # A wrong type is told by itself.
        ("{a: 3, b: x}", ['4:36: components.sets.shares.b: input should be a valid integer, got "x"']),
    ],
)
def test_parts_that_do_not_fit_each_other(shares: str, told: list[str]) -> None:
    """In every experiment that there will be, and in no other."""
    assert faults("{use: measured, sets: $sets}", sets=f"{{use: sets, shares: {shares}}}") == told


def test_many_combinations_are_not_all_looked_at() -> None:
    """Checking a grid costs the sum of its alternatives, not their product: here 5 to the 12th."""
    values = ", ".join(f"k{number}: {{sweep: [1, 2, 3, 4, 5]}}" for number in range(12))
    assert faults("{use: measured, sets: {use: told, shares: {" + values + "}}}") == []
