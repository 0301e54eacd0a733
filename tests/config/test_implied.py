"""References that follow from the rest of a config."""

from __future__ import annotations

from typing import Annotated, Any

from mlgym.config import Follows, Registry, RunFacts, build, check, load


class Loader:
    """Stands for what gives batches."""


class Net:
    """Takes its size from a loader."""

    def __init__(self, example: Annotated[Loader | None, Follows("experiment.trainer.loader")] = None) -> None:
        self.example = example


class Trainer:
    """Holds what is trained on what."""

    def __init__(self, model: Net, loader: Loader) -> None:
        self.model = model
        self.loader = loader


class Root:
    """The experiment."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def run(self, context: Any) -> None: ...


def _registry() -> Registry:
    registry = Registry()
    for name, component in (("loader", Loader), ("net", Net), ("trainer", Trainer), ("root", Root)):
        registry.register(name)(component)
    return registry


def _config(**changes: Any) -> dict[str, Any]:
    components = {
        "loader": {"use": "loader"},
        "other": {"use": "loader"},
        "model": {"use": "net"},
        "trainer": {"use": "trainer", "model": "$model", "loader": "$loader"},
    }
    return {"components": components | changes, "experiment": {"use": "root", "trainer": "$trainer"}}


def _built(config: dict[str, Any]) -> Any:
    registry = _registry()
    return build(check(load(config), registry=registry)[0].config, RunFacts(), registry=registry)


def test_what_is_left_out_becomes_the_reference_that_stands_elsewhere() -> None:
    """The model gets the very object that its trainer reads, and the config of the experiment says so."""
    root = _built(_config())
    assert root.trainer.model.example is root.trainer.loader
    assert check(load(_config()), registry=_registry())[0].config["components"]["model"]["example"] == "$loader"


def test_what_is_given_stays() -> None:
    """A reference or null that is written wins."""
    root = _built(_config(model={"use": "net", "example": "$other"}))
    assert root.trainer.model.example is not root.trainer.loader
    assert _built(_config(model={"use": "net", "example": None})).trainer.model.example is None


def test_every_alternative_of_a_sweep_gets_it() -> None:
    """Also the second of two models, and one that stands in `vars`."""
    config = _config(model={"sweep": [{"use": "net"}, "$vars.net"]})
    config["vars"] = {"net": {"use": "net"}}
    space = check(load(config), registry=_registry())
    models = [space[i].config["components"]["model"] for i in range(2)]
    assert models == [{"use": "net", "example": "$loader"}] * 2


def test_nested_components_and_objects_without_a_name_are_left_alone() -> None:
    """What has no name cannot be shared, so nothing follows from it."""
    config = _config(trainer={"use": "trainer", "model": {"use": "net"}, "loader": {"use": "loader"}})
    assert _built(config).trainer.model.example is None
