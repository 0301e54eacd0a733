"""What differs between two configs, and what an admitted key covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlgym.config import config_changes, is_admitted, load

MODEL = {"use": "conv_net", "layers": [{"use": "conv", "out": 3}, {"use": "linear", "out": 4}]}
CONFIG: dict[str, Any] = {
    "name": "a",
    "seed": 0,
    "vars": {"width": 3},
    "components": {"model": MODEL, "optimizer": {"use": "adam", "lr": 0.1}},
    "experiment": {"use": "training", "epochs": 3},
}


def changed(**components: Any) -> dict[str, Any]:
    return {**CONFIG, "components": {**CONFIG["components"], **components}}


@pytest.mark.parametrize(
    ("new", "lines"),
    [
        (CONFIG, []),
        (changed(optimizer={"lr": 0.1, "use": "adam"}), []),
        (changed(optimizer={"use": "adam", "lr": 0.2}), ["optimizer.lr: 0.1 -> 0.2"]),
        (changed(optimizer={"use": "adam"}), ["optimizer.lr: removed, was 0.1"]),
        (changed(optimizer={"use": "adam", "lr": 0.1, "eps": 1}), ["optimizer.eps: added, 1"]),
        (
            changed(model={**MODEL, "layers": [MODEL["layers"][0], {"use": "linear", "out": 8}]}),
            ["model.layers.1.out: 4 -> 8"],
        ),
        (
            changed(model={**MODEL, "layers": MODEL["layers"][:1]}),
            ["model.layers: [{use: conv, out: 3}, {use: linear, out: 4}] -> [{use: conv, out: 3}]"],
        ),
        ({**CONFIG, "experiment": {"use": "training", "epochs": 4}}, ["experiment.epochs: 3 -> 4"]),
        ({**CONFIG, "seed": 1, "imports": ["a"]}, ["seed: 0 -> 1", "imports: added, [a]"]),
    ],
)
def test_every_key_that_differs_with_both_values(new: dict[str, Any], lines: list[str]) -> None:
    """Keys are those of the command line; the order of keys in a mapping makes no difference."""
    assert [str(change) for change in config_changes(CONFIG, new)] == lines


@pytest.mark.parametrize(("old", "new", "differ"), [(1, 1.0, False), (1, True, True), ("1", 1, True), (0, None, True)])
def test_values_of_other_types(old: Any, new: Any, differ: bool) -> None:
    """A number is the same with and without a point; a truth value, a text and null are no numbers."""
    assert bool(config_changes({"a": old}, {"a": new})) is differ


@pytest.mark.parametrize(
    ("key", "admitted"),
    [
        ("optimizer.lr", True),
        ("optimizer", True),
        ("components", True),
        ("components.optimizer.lr", True),
        ("optimizer.l", False),
        ("opt", False),
        ("model", False),
        ("experiment.optimizer.lr", False),
        ("optimizer.lr.deeper", False),
    ],
)
def test_a_key_admits_what_lies_at_and_below_it(key: str, admitted: bool) -> None:
    """The key itself, a component or a section around it; no key that merely begins alike."""
    (change,) = config_changes(CONFIG, changed(optimizer={"use": "adam", "lr": 0.2}))
    assert is_admitted(change, ["experiment.epochs", key]) is admitted


@pytest.mark.parametrize("key", ["model.layers[1].out", "model.layers.1", "model.layers"])
def test_items_of_lists_are_admitted_by_their_index(key: str) -> None:
    """Both ways to write an index work."""
    layers = [MODEL["layers"][0], {"use": "linear", "out": 8}]
    (change,) = config_changes(CONFIG, changed(model={**MODEL, "layers": layers}))
    assert is_admitted(change, [key])


@pytest.mark.parametrize(
    ("new", "other"),
    [
        ({**CONFIG, "seed": 1}, True),
        ({**CONFIG, "validation": {"mode": "x"}}, True),
        (changed(optimizer={"use": "adam", "lr": {"sweep": [0.1, 0.2]}}), True),
        (changed(extra={"use": "a", "b": [{"sweep": [1]}]}), True),
        ({**CONFIG, "vars": {"width": {"sweep": [3, 4]}}}, True),
        (changed(optimizer={"use": "adam", "lr": 0.2}), False),
    ],
)
def test_changes_that_make_another_run(new: dict[str, Any], other: bool) -> None:
    """Seeds, validation, and sweeps that come, go or change."""
    (change,) = config_changes(CONFIG, new)
    assert change.makes_another_run is other
    if other:
        (back,) = config_changes(new, CONFIG)
        assert back.makes_another_run


def test_an_alternative_of_a_sweep_makes_another_run() -> None:
    """Also where the number of alternatives stays."""
    old, new = ({"components": {"a": {"lr": {"sweep": [0.1, last]}}}} for last in (0.2, 0.3))
    (change,) = config_changes(old, new)
    assert (change.key, change.makes_another_run) == ("a.lr.sweep.1", True)


def test_what_makes_a_run_of_a_config_this_run(tmp_path: Path) -> None:
    """Defaults of sections and the file's name are written out, how to launch it is left out, and reading keeps it."""
    file = tmp_path / "small.yml"
    file.write_text("experiment: {use: anything}\nauto_resume: true\n")
    document = load(file)
    assert document.auto_resume
    assert document.identity == {
        "version": 1,
        "name": "small",
        "seed": 0,
        "validation": {"mode": "grid_search"},
        "experiment": {"use": "anything"},
    }
    again = load(document.identity)
    assert (again.identity, again.auto_resume) == (document.identity, False)
