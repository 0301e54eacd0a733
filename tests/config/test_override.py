"""`KEY=VALUE` from the command line."""

from __future__ import annotations

from typing import Any

import pytest

from mlgym.config import load
from mlgym.config.check import check

from .conftest import Writer
from .parts import parts

BASE = """\
components:
  model: {use: conv_net, layers: [{use: conv, out: 3}, {use: linear, out: 4}]}
  optimizer: {use: adam, model: $model, lr: 0.1}
  swept: {sweep: [{use: adam, model: $model}, {use: sgd, model: $model, lr: 1}]}
experiment: {use: anything, thing: $optimizer, any_value: $swept}
"""


def at(data: Any, *steps: str | int) -> Any:
    """Gives what lies at a key path."""
    for step in steps:
        data = data[step]
    return data


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("optimizer.lr=1e-3", ("components", "optimizer", "lr"), 1e-3),
        ("components.optimizer.lr=no", ("components", "optimizer", "lr"), "no"),
        ("optimizer.lr={sweep: [1, 2]}", ("components", "optimizer", "lr"), {"sweep": [1, 2]}),
        ("optimizer.eps=1", ("components", "optimizer", "eps"), 1),
        ("optimizer.lr=", ("components", "optimizer", "lr"), None),
        ("optimizer.lr=a=b", ("components", "optimizer", "lr"), "a=b"),
        ("model.layers.0.out=8", ("components", "model", "layers", 0, "out"), 8),
        ("model.layers[1].out=8", ("components", "model", "layers", 1, "out"), 8),
        ("model.layers.1={use: conv, out: 1}", ("components", "model", "layers", 1), {"use": "conv", "out": 1}),
        ("model={use: mlp, hidden: [64]}", ("components", "model"), {"use": "mlp", "hidden": [64]}),
        ("new={use: mlp, hidden: [64]}", ("components", "new"), {"use": "mlp", "hidden": [64]}),
        ("swept.sweep.1.lr=2", ("components", "swept", "sweep", 1, "lr"), 2),
        ("swept.zip=g", ("components", "swept", "zip"), "g"),
        ("experiment.x=3", ("experiment", "x"), 3),
        ("validation.mode=grid_search", ("validation", "mode"), "grid_search"),
        ("vars.x=3", ("vars", "x"), 3),
        ("seed={sweep: [1, 2]}", ("seed",), {"sweep": [1, 2]}),
        ("seed=7", ("seed",), 7),
        ("name=other", ("name",), "other"),
        ("imports=[a.b]", ("imports",), ["a.b"]),
        ("auto_resume=true", ("auto_resume",), True),
    ],
)
def test_what_an_override_sets(config_file: Writer, override: str, path: tuple[str | int, ...], value: object) -> None:
    """The value is YAML, a first word that is no section means `components.`, and all else stays as it is."""
    document = load(config_file(BASE), [override])
    assert document.faults == ()
    assert at(document.data, *path) == value
    assert document.overrides == (override,)
    assert document.text == BASE


def test_later_overrides_see_earlier_ones(config_file: Writer) -> None:
    """They are applied in order."""
    document = load(config_file(BASE), ["model={use: mlp, hidden: [1, 2]}", "model.hidden.1=3"])
    assert at(document.data, "components", "model", "hidden") == [1, 3]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer", "an override is KEY=VALUE, such as `optimizer.lr=0.01`"),
        ("=3", "an override is KEY=VALUE"),
        ("a..b=3", "an override is KEY=VALUE"),
        ("optimiser.lr=3", "components.optimiser: no component named `optimiser`; did you mean `optimizer`?"),
        ("optimiser=3", "components.optimiser: no component named `optimiser`; did you mean `optimizer`?"),
        ("expermient.x=3", "components.expermient: no component named `expermient`; did you mean `experiment`?"),
        ("lr=3", "components.lr: no component named `lr`; did you mean `optimizer.lr`?"),
        ("zzz=3", "no component named `zzz` (known: model, optimizer, swept); give a new one as `zzz={use: NAME}`"),
        (
            "optimizer.betas.0=3",
            "components.optimizer.betas: `components.optimizer` has no `betas` (it has use, model, lr)",
        ),
        ("optimizer.lr.x=3", "components.optimizer.lr: is 0.1, so there is no `x` in it"),
        (
            "optimizer.model.hidden=3",
            "components.optimizer.model: is the reference `$model`; override `model.hidden` instead",
        ),
        ("model.layers.2.out=3", "components.model.layers: is a list; its indices are 0 to 1, got `2`"),
        ("model.layers.-1.out=3", "components.model.layers: is a list; its indices are 0 to 1, got `-1`"),
        ("model.layers.out=3", "components.model.layers: is a list; its indices are 0 to 1, got `out`"),
        ("swept.lr=3", "components.swept.lr: `swept` is a sweep, so it is not clear which alternative is meant"),
        ("version=2", "version: `version` cannot be overridden"),
        ("extends=x.yml", "extends: `extends` cannot be overridden"),
        ("optimizer.lr=[1", "is not YAML: while parsing a flow sequence"),
        ("optimizer.lr=!!python/name:os x", "tags such as `!!python/name:os` are not allowed"),
    ],
)
def test_what_cannot_be_set(config_file: Writer, override: str, message: str) -> None:
    """Each is placed on the command line, without lines and columns, and says what to do."""
    (fault,) = load(config_file(BASE), [override]).faults
    assert str(fault).startswith(f"command line `{override}`: ")
    assert message in str(fault)


def test_overriding_in_one_alternative_is_checked(config_file: Writer) -> None:
    """What an override puts into an alternative counts there alone."""
    space = check(load(config_file(BASE), ["swept.sweep.1.lr={sweep: [1, 2, 3]}"]), registry=parts)
    assert len(space) == 4
