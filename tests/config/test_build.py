"""Building: one name one object, typed values, seeds, failures."""

from __future__ import annotations

import functools
import traceback
from pathlib import Path
from typing import Any

import pytest

from mlgym.config import Registry, RunFacts, build, build_component, load, use
from mlgym.config.check import check
from mlgym.errors import ConfigError
from mlgym.seeding import derive_seed

from .parts import Color, CrossEntropy, Dataset, Loader, Mlp, Module, Settings, parts
from .test_messages import GOOD

FACTS = RunFacts(seed=3, dir="/tmp/run", device="cpu", experiment_id=5, fold=None)


def given(**params: Any) -> dict[str, Any]:
    """Gives what `anything` was built with."""
    components = {
        "m": use("mlp", hidden=[3]),
        "data": use("digits"),
        "sets": use("mnist"),
        "loss": use("cross_entropy"),
    }
    config = {"components": components, "experiment": use("anything", **params)}
    found: dict[str, Any] = build(config, FACTS, registry=parts).given
    return found


def test_one_name_is_one_object(tmp_path: Path) -> None:
    """The model that the optimizer trains is the one that is evaluated; an output is the object itself."""
    path = tmp_path / "mnist.yml"
    path.write_text(GOOD, encoding="utf-8")
    root = build(check(load(path), registry=parts)[7].config, FACTS, registry=parts)
    assert root.trainer.model is root.trainer.optimizer.model is root.evaluator.model
    assert root.trainer.loss is root.evaluator.loss
    assert root.trainer.loader is root.evaluator.loaders["train"]
    assert root.trainer.loader.batch_size == 50
    assert root.trainer.optimizer.lr == 0.01
    assert [layer.out for layer in root.trainer.model.layers] == [32, 10]


def test_only_what_is_needed_is_built() -> None:
    """A component that nothing uses is not made, one that is used twice is made once."""
    registry = Registry()
    made: list[str] = []

    @registry.register("part")
    class Part:
        def __init__(self, name: str, other: Any = None) -> None:
            made.append(name)

        def run(self, context: object) -> None:
            """Does nothing."""

    components = {
        "c": use("part", name="c", other=["$a", {"x": "$b"}]),
        "a": use("part", name="a", other="$b"),
        "b": use("part", name="b"),
        "unused": use("part", name="unused"),
    }
    config = {"components": components, "experiment": use("part", name="root", other="$c")}
    build(config, FACTS, registry=registry)
    assert made == ["b", "a", "c", "root"]
    made.clear()
    build_component(config, "a", FACTS, registry=registry)
    assert made == ["b", "a"]


def test_values_arrive_typed() -> None:
    """A list is a tuple, a text a path, a word an enum, where the signature says so."""
    found = given(
        pair=[1, 2],
        path="a/b",
        color="blue",
        point={"x": 1, "y": 2},
        settings={"rate": 1, "where": "x"},
        names=["a", "b", "a"],
        by_number={"1": "a"},
        f=1,
        text="$$x",
    )
    assert found["pair"] == (1, 2)
    assert found["path"] == Path("a/b")
    assert found["color"] is Color.BLUE
    assert found["point"] == {"x": 1.0, "y": 2.0}
    assert found["settings"] == Settings(1.0, Path("x"))
    assert found["names"] == {"a", "b"}
    assert found["by_number"] == {1: "a"}
    assert type(found["f"]) is float
    assert found["text"] == "$x"


def test_components_anywhere_in_a_value() -> None:
    """References and inline components become objects in lists, mappings, unions and untyped values."""
    found = given(
        module="$loss",
        thing={"use": "weighted_sum", "losses": ["$loss", use("cross_entropy")], "weights": [1, 2]},
        things=["$m", {"deep": ["$m", "$$m", "$run.device"]}],
        any_value="$sets.train",
        x="$data.features",
    )
    assert isinstance(found["module"], CrossEntropy)
    assert found["thing"].losses[0] is found["module"]
    assert found["thing"].losses[1] is not found["module"]
    assert found["things"][0] is found["things"][1]["deep"][0]
    assert found["things"][1]["deep"][1:] == ["$m", "cpu"]
    assert isinstance(found["any_value"], Dataset)
    assert found["x"] == 64


def test_facts_of_the_run() -> None:
    """What the runner tells stands in the place of its reference, with the type that is wanted."""
    found = given(x="$run.seed", path="$run.dir", text="$run.device", any_value="$run.fold", f="$run.experiment_id")
    assert (found["x"], found["path"], found["text"], found["any_value"], found["f"]) == (
        3,
        Path("/tmp/run"),
        "cpu",
        None,
        5.0,
    )


def test_groups_and_other_names() -> None:
    """A named list is one object, and a name for a name is the same object."""
    components = {"m": use("mlp", hidden=[]), "same": "$m", "both": ["$m", "$same"], "by": {"key": "$m"}}
    config = {"components": components, "experiment": use("anything", things=["$both", "$both", "$by.key"])}
    one, two, three = build(config, FACTS, registry=parts).given["things"]
    assert one is two
    assert one[0] is one[1] is three


def test_seeds_are_derived_by_key_path() -> None:
    """A component that leaves its seed out gets the run's, under its own key path; a written one is pinned."""
    config = {
        "components": {
            "net": use("conv_net", layers=[use("linear", out=1), use("linear", out=2), use("linear", out=3, seed=9)])
        },
        "experiment": use("anything", thing="$net", module=use("conv_net", layers=[use("linear", out=1)])),
    }
    found = build(config, FACTS, registry=parts).given
    seeds = [layer.seed for layer in found["thing"].layers]
    assert seeds == [
        derive_seed(3, "components.net.layers.0"),
        derive_seed(3, "components.net.layers.1"),
        9,
    ]
    assert found["module"].layers[0].seed == derive_seed(3, "experiment.module.layers.0")
    assert found["seed"] == derive_seed(3, "experiment")
    assert given(seed=None)["seed"] is None


def test_functions_with_call_args_are_bound() -> None:
    """The config's parameters are bound, the others are given at each call."""
    step = given(callback=use("my_step", scale=2))["callback"]
    assert isinstance(step, functools.partial)
    assert step(None, batch=None) == 2.0


def failing(lr: float) -> dict[str, Any]:
    """Gives a config whose optimizer fails in its constructor where `lr` is huge."""
    components = {"m": use("mlp", hidden=[]), "optimizer": use("adam", model="$m", lr=lr)}
    return {"components": components, "experiment": use("anything", thing=["$optimizer"])}


def test_a_failing_constructor_keeps_its_traceback() -> None:
    """The error is the constructor's own, with a note that names the component; pydantic does not swallow it."""
    assert build(failing(1.0), FACTS, registry=parts)
    with pytest.raises(ValueError, match="this diverges") as caught:
        build(failing(1e9), FACTS, registry=parts)
    assert caught.value.__notes__ == ["while building components.optimizer = adam(model, lr)"]
    assert "parts.py" in traceback.extract_tb(caught.value.__traceback__)[-1].filename


@pytest.mark.parametrize("kind", [ValueError, AssertionError, TypeError, AttributeError, KeyError, RuntimeError])
def test_any_error_of_a_nested_constructor_comes_through(kind: type[Exception]) -> None:
    """Whatever is raised inside a list or union is raised as it is, with the path of the nested component."""
    registry = Registry()

    @registry.register("bad")
    class Bad(Module):
        def __init__(self) -> None:
            raise kind("inside")

    @registry.register("root")
    def root(parts: list[Module | int]) -> object:
        return parts

    with pytest.raises(kind, match="inside") as caught:
        build({"experiment": use("root", parts=[1, use("bad")])}, FACTS, registry=registry)
    assert caught.value.__notes__ == ["while building experiment.parts[1] = bad()"]


def test_objects_of_unknown_kind_are_looked_at() -> None:
    """What the signature could not tell before is checked on the object itself."""
    registry = Registry()

    @registry.register("make")
    def make(what: str):  # type: ignore[no-untyped-def]  # as people write it
        return Mlp([]) if what == "module" else 3

    @registry.register("root")
    class Root:
        def __init__(self, module: Module, number: float | None = None) -> None:
            self.module = module

        def run(self, context: object) -> None:
            """Does nothing."""

    def config(what: str) -> dict[str, Any]:
        return {"components": {"x": use("make", what=what)}, "experiment": use("root", module="$x")}

    for what in ("module", "number"):
        assert len(check(load(config(what)), registry=registry)) == 1
    assert isinstance(build(config("module"), FACTS, registry=registry).module, Module)
    with pytest.raises(ConfigError) as caught:
        build(config("number"), FACTS, registry=registry)
    assert str(caught.value) == "python: experiment.module: needs Module, but $x is int"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"experiment": use("anything", x={"sweep": [1, 2]})}, "only the config of one experiment can be built"),
        ({"experiment": use("anything", thing="$a")}, "no component named `a`"),
        ({"experiment": use("anything", wrong=1)}, "`anything` has no parameter `wrong`"),
        ({"experiment": use("anything", x="a")}, 'experiment.x: input should be a valid integer, got "a"'),
        (
            {"components": {"a": use("anything", thing="$b"), "b": ["$a"]}, "experiment": use("anything", thing="$a")},
            "in a circle",
        ),
        (
            {"components": {"d": use("digits")}, "experiment": use("anything", thing="$d.nope")},
            "`d` has no output `nope` (it has features, name, num_classes)",
        ),
        (
            {
                "components": {"d": use("data_loaders", datasets={}, batch_size=1)},
                "experiment": use("anything", thing="$d.a"),
            },
            "`d` has no output `a`",
        ),
    ],
)
def test_configs_that_cannot_be_built(config: dict[str, Any], message: str) -> None:
    """Without a check before, the same mistakes are config errors, not tracebacks from within."""
    with pytest.raises(ConfigError) as caught:
        build(config, FACTS, registry=parts)
    assert message in str(caught.value)


def test_one_component_by_name() -> None:
    """A component is built alone with what it needs; an unknown one names the nearest."""
    config = {"components": {"m": use("mlp", hidden=[]), "opt": use("adam", model="$m")}, "experiment": use("anything")}
    assert isinstance(build_component(config, "opt", FACTS, registry=parts).model, Mlp)
    with pytest.raises(ConfigError, match="no component named `otp`; did you mean `opt`"):
        build_component(config, "otp", FACTS, registry=parts)


def test_positional_only_parameters() -> None:
    """Parameters that Python takes by position alone are given so."""
    registry = Registry()

    @registry.register("root")
    def root(a: int, b: int = 2, /, c: int = 3, **more: int) -> dict[str, Any]:
        return {"given": (a, b, c, more)}

    assert build({"experiment": use("root", c=5, a=1, z=7)}, FACTS, registry=registry)["given"] == (1, 2, 5, {"z": 7})


def test_long_chains_of_components_are_built() -> None:
    """Thousands of components that need each other in a row cost no recursion."""
    components: dict[str, Any] = {"c0": use("anything")}
    for i in range(1000):
        components[f"c{i + 1}"] = use("anything", thing=f"$c{i}")
    root = build({"components": components, "experiment": use("anything", thing="$c1000")}, FACTS, registry=parts)
    assert root.given["thing"].given["thing"]


def test_loader_kind_is_real() -> None:
    """The parts of the tests behave as the real ones do: loaders are made per split."""
    made = build(
        {"experiment": use("data_loaders", datasets={"a": use("digits")}, batch_size=2)}, FACTS, registry=parts
    )
    assert isinstance(made["a"], Loader)
