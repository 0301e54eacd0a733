"""Checking against signatures: values, kinds, references, in every alternative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel, Field

from mlgym.config import Mode, Registry, load
from mlgym.config.check import check
from mlgym.config.signature import fields_at
from mlgym.errors import ConfigError

from .conftest import Checker, Faults, Writer
from .parts import Point, parts

RUN = "experiment: {use: anything, %s}\n"
PARTS = (
    "components: {loss: {use: cross_entropy}, m: {use: mlp, hidden: [3]}, data: {use: digits}, sets: {use: mnist}}\n"
)


@pytest.mark.parametrize(
    "value",
    [
        "x: 3",
        "x: null",
        "f: 3",
        "pair: [1, 2]",
        "path: a/b",
        "color: blue",
        "point: {x: 1, y: 0.5}",
        "settings: {rate: 1, where: there}",
        "either: 3",
        "either: auto",
        "table: {a: 1, b: 0.5}",
        "table: {a: $run.seed}",
        "any_value: {a: [1, {b: $m}], c: {use: f1}}",
        "thing: {use: f1}",
        "things: [1, $m, {use: f1}]",
        "text: '64'",
        "text: $$x",
        "names: [a, b]",
        "by_number: {1: a}",
        "callback: {use: my_step}",
        "callback: {use: my_step, scale: 2}",
        "module: $loss",
        "module: {use: weighted_sum, losses: [$loss, {use: cross_entropy}]}",
        "x: $data.num_classes",
        "x: $data.features",
        "f: $data.features",
        "x: $run.seed",
        "x: $run.fold",
        "path: $run.dir",
        "text: $run.device",
        "seed: 3",
    ],
)
def test_values_that_fit(faults: Faults, value: str) -> None:
    """What the signature's types take, in the way JSON can say it, is right."""
    assert faults(RUN % value + PARTS) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x: '64'", 'mnist.yml:1:29: experiment.x: input should be a valid integer, got "64"'),
        ("x: 1.0", "mnist.yml:1:29: experiment.x: input should be a valid integer, got 1.0"),
        ("x: true", "mnist.yml:1:29: experiment.x: input should be a valid integer, got true"),
        ("f: 1e-4x", 'mnist.yml:1:29: experiment.f: input should be a valid number, got "1e-4x"'),
        ("text: 64", "mnist.yml:1:29: experiment.text: input should be a valid string, got 64"),
        ("text: no way", ""),
        ("pair: [1]", "mnist.yml:1:29: experiment.pair: `1` is missing, got [1]"),
        ("pair: [1, a]", 'mnist.yml:1:39: experiment.pair[1]: input should be a valid integer, got "a"'),
        ("pair: [1, 2, 3]", "mnist.yml:1:29: experiment.pair: tuple should have at most 2 items, not 3"),
        (
            "color: bleu",
            "mnist.yml:1:29: experiment.color: input should be 'red' or 'blue', got \"bleu\"; did you mean `blue`?",
        ),
        ("point: {x: 1, z: 2}", "mnist.yml:1:43: experiment.point.z: there is no key `z` here (it has x, y)"),
        ("point: {x: 1}", 'mnist.yml:1:29: experiment.point: `y` is missing, got {"x": 1}'),
        ("settings: {rate: a}", 'mnist.yml:1:40: experiment.settings.rate: input should be a valid number, got "a"'),
        (
            "settings: {rte: 1, rate: 1}",
            (
                "mnist.yml:1:40: experiment.settings.rte: there is no key `rte` here; did you mean `rate`? "
                "(it has rate, where)"
            ),
        ),
        (
            "settings: {rate: $m}",
            (
                "mnist.yml:1:40: experiment.settings.rate: a component or reference cannot stand here: input should be "
                "a valid number"
            ),
        ),
        (
            "either: 0",
            "mnist.yml:1:29: experiment.either: input should be greater than or equal to 1 or 'auto', got 0",
        ),
        (
            "either: aut",
            (
                "mnist.yml:1:29: experiment.either: input should be a valid integer or 'auto', got \"aut\"; "
                "did you mean `auto`?"
            ),
        ),
        ("table: {a: 1, b: x}", 'mnist.yml:1:43: experiment.table.b: input should be a valid number, got "x"'),
        ("table: [1]", "mnist.yml:1:29: experiment.table: input should be a mapping, got [1]"),
        ("things: 3", "mnist.yml:1:29: experiment.things: input should be a valid list, got 3"),
        ("callback: 3", "mnist.yml:1:29: experiment.callback: needs function, got 3"),
        ("callback: {use: f1}", "mnist.yml:1:29: experiment.callback: needs function, but `f1` is F1"),
        ("module: 3", "mnist.yml:1:29: experiment.module: needs Module, got 3"),
        (
            "module: loss",
            'mnist.yml:1:29: experiment.module: needs Module, got "loss"; write `$loss` for the component of that name',
        ),
        ("module: mlp", 'mnist.yml:1:29: experiment.module: needs Module, got "mlp"; write `{use: mlp}`'),
        (
            "module: {hidden: 3}",
            'mnist.yml:1:29: experiment.module: needs Module, got {"hidden": 3}; a component has `use: NAME`',
        ),
        ("module: {use: f1}", "mnist.yml:1:29: experiment.module: needs Module, but `f1` is F1"),
        ("module: $data", "mnist.yml:1:29: experiment.module: needs Module, but $data is Digits"),
        ("x: $m", "mnist.yml:1:29: experiment.x: needs int, but $m is Mlp"),
        ("module: $data.features", "mnist.yml:1:29: experiment.module: needs Module, but $data.features is int"),
        ("module: $sets.train", "mnist.yml:1:29: experiment.module: needs Module, but $sets.train is Dataset"),
        (
            "thing: $data.size",
            "mnist.yml:1:29: experiment.thing: `data` has no output `size` (it has num_classes, features)",
        ),
        ("thing: $loss.value", "mnist.yml:1:29: experiment.thing: `loss` has no output `value`; it has none"),
        (
            "thing: {use: weighted_sum, losses: []}",
            "mnist.yml:1:56: experiment.thing.losses: list should have at least 1 item, not 0",
        ),
        (
            "thing: {use: weighted_sum, losses: [$m]}",
            "mnist.yml:1:65: experiment.thing.losses[0]: needs Loss, but $m is Mlp",
        ),
        (
            "thing: {use: my_step, model: $m}",
            "mnist.yml:1:51: experiment.thing.model: `my_step` is given `model` at each call; leave it out",
        ),
        (
            "thing: {use: sgd}",
            "mnist.yml:1:37: experiment.thing: `sgd` needs the parameters `model`, `lr`",
        ),
        (
            "thing: {use: sgd, model: $m, lr:0.1}",
            "mnist.yml:1:58: experiment.thing.lr:0.1: `sgd` has no parameter `lr:0.1`; write `lr: 0.1`, with a space",
        ),
        (
            "thing: {use: weighted_sum, losses: $loss}",
            "mnist.yml:1:56: experiment.thing.losses: needs list[Loss], but $loss is CrossEntropy; put it into a list",
        ),
        (
            "x: $run.sed",
            (
                "mnist.yml:1:29: experiment.x: `$run.sed` is no fact of the run; did you mean `seed`? "
                "(known: seed, dir, device, experiment_id, fold)"
            ),
        ),
        ("thing: {use: 3}", "mnist.yml:1:37: experiment.thing.use: `use` takes the name of a component, got 3"),
    ],
)
def test_values_that_do_not_fit(faults: Faults, value: str, message: str) -> None:
    """Each has its place, its key path, what was expected and what was found."""
    assert faults(RUN % value + PARTS) == ([message] if message else [])


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ("x: {sweep: [1, a, 2, 0.5]}", ["experiment.x.sweep[1]", "experiment.x.sweep[3]"]),
        ("pair: {sweep: [[1, 2], [1, a]]}", ["experiment.pair.sweep[1][1]"]),
        ("pair: [{sweep: [1, a]}, {sweep: [b, 2]}]", ["experiment.pair[0].sweep[1]", "experiment.pair[1].sweep[0]"]),
        ("table: {a: {sweep: [1, {sweep: [2, x]}]}}", ["experiment.table.a.sweep[1].sweep[1]"]),
        ("settings: {rate: {sweep: [1, x]}}", ["experiment.settings.rate.sweep[1]"]),
        ("module: {sweep: [$m, $data, {use: f1}]}", ["experiment.module.sweep[1]", "experiment.module.sweep[2]"]),
        ("module: {sweep: [$m, {use: mlp, hidden: x}]}", ["experiment.module.sweep[1].hidden"]),
        ("module: {use: {sweep: [mlp, conv_net]}, hidden: []}", ["experiment.module", "experiment.module.hidden"]),
        ("x: {sweep: {start: 0, stop: 1, num: 3}}", ["experiment.x.sweep[0]"]),
        ("x: $vars.n", ["experiment.x.sweep[1]"]),
        ("module: $swept", ["experiment.module"]),
        ("thing: $swept.features", ["experiment.thing"]),
    ],
)
def test_every_alternative_is_checked(faults: Faults, value: str, places: list[str]) -> None:
    """A fault in any alternative is found, however deep, through `vars` and named components too."""
    more = "vars: {n: {sweep: [1, x]}}\ncomponents:\n  data: {use: digits}\n  m: {use: mlp, hidden: [3]}\n"
    found = faults(RUN % value + more + "  swept: {sweep: [$m, $data]}\n")
    assert sorted(fault.split(": ")[1] for fault in found) == sorted(places)


def test_kinds_of_alternatives_are_named(faults: Faults) -> None:
    """A reference to something swept says what it can be."""
    text = RUN % "module: $s, thing: $d.test" + (
        "components:\n  m: {use: mlp, hidden: []}\n  s: {sweep: [$m, {use: f1}]}\n"
        "  d: {sweep: [{use: mnist}, {use: digits}]}"
    )
    assert faults(text) == [
        "mnist.yml:1:29: experiment.module: needs Module, but $s can be F1",
        (
            "mnist.yml:1:41: experiment.thing: `d` has no output `test` in every alternative "
            "(it has num_classes, features)"
        ),
    ]


def test_outputs_are_the_keys_of_a_parameter(faults: Faults) -> None:
    """Keys count wherever they come from: a mapping, `vars`, another component; and in each alternative."""
    text = """
        vars: {f: {train: 0.5, val: 0.5}}
        components:
          data: {use: digits}
          split: {use: stratified_split, dataset: $data, fractions: $vars.f}
          loaders: {use: data_loaders, datasets: $split, batch_size: 3}
          other: {use: stratified_split, dataset: $data, fractions: {sweep: [{a: 1}, {a: 0.5, b: 0.5}]}}
        experiment: {use: anything, things: [$loaders.train, $loaders.test, $split.val, $other.a, $other.b]}
        """
    found = [fault.split(": ", 1)[1] for fault in faults(text)]
    assert found == [
        "experiment.things[1]: `loaders` has no output `test` (it has train, val)",
        "experiment.things[4]: `other` has no output `b` in every alternative (it has a)",
    ]


def test_kinds_inside_containers(faults: Faults) -> None:
    """A mapping of datasets is no mapping of loaders."""
    text = """
        components:
          data: {use: digits}
          loss: {use: cross_entropy}
          m: {use: mlp, hidden: []}
          split: {use: stratified_split, dataset: $data, fractions: {train: 1}}
        experiment:
          use: anything
          thing: {use: evaluator, model: $m, loss: $loss, loaders: $split}
        """
    (fault,) = faults(text)
    assert fault.endswith("needs Mapping[str, Loader], but $split is dict[str, Dataset]")


def test_protocols_by_their_methods(faults: Faults) -> None:
    """What has the methods fits a protocol, what lacks them doesn't."""
    text = "experiment: {use: training, early_stopping: {use: %s}}"
    assert faults(text % "patience, metric: a") == []
    (fault,) = faults(text % "f1")
    assert fault.endswith("needs Stopping, but `f1` is F1")


def test_groups_of_components(faults: Faults, space: Checker) -> None:
    """A list of components may have a name; it is checked against the parameter that takes it."""
    text = """
        components:
          m: {use: mlp, hidden: []}
          losses: [{use: cross_entropy}, %s]
        experiment: {use: anything, thing: {use: weighted_sum, losses: $losses}}
        """
    assert len(space(text % "{use: cross_entropy}")) == 1
    (fault,) = faults(text % "$m")
    assert "needs list[Loss], but $losses does not fit: components.losses[1] needs Loss, but $m is Mlp" in fault


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ("conv_net", "a component is a mapping with `use`, got conv_net; write `{use: conv_net}`"),
        ("3", "a component is a mapping with `use`, got 3; shared values go into `vars`"),
        ("{hidden: [3]}", "a component needs `use: NAME`; shared values go into `vars`"),
        ("[1, 2]", "a component needs `use: NAME`"),
        (
            "{sweep: [{use: mlp, hidden: []}, mlp]}",
            "components.m.sweep[1]: a component is a mapping with `use`, got mlp",
        ),
        # As other tools have it.
        ("{type: mlp, hidden: []}", "a component needs `use: NAME`; write `use: mlp` in place of `type: mlp`"),
        ("{_target_: my.nets.Mlp, x: $x}", "write `use: mlp` in place of `_target_: my.nets.Mlp`"),
        ("{class_path: a.Bcd, x: $x}", "write `use: NAME` in place of `class_path: a.Bcd`"),
        ("{mlp: {hidden: []}}", "a component needs `use: NAME`; write `{use: mlp, ...}`"),
    ],
)
def test_named_components_that_are_none(faults: Faults, component: str, message: str) -> None:
    """A forgotten `use` is told even where nothing uses the name, and once where something does."""
    for user in ("", ", o: {use: adam, model: $m}"):
        (fault,) = faults(RUN % "x: 1" + f"components: {{x: {{use: mlp, hidden: []}}, m: {component}{user}}}")
        assert message in fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("components: {}", "mnist.yml:1:1: there is no `experiment`: the component that an experiment runs"),
        ("experiment: 3", "experiment: the experiment must be a component"),
        ("experiment: {a: 3}", "experiment: the experiment must be a component"),
        ("experiment: {use: f1}", "experiment: the experiment needs a method `run(context)`, but `f1` is F1"),
        ("experiment: $f\ncomponents: {f: {use: f1}}", "the experiment needs a method `run(context)`, but $f is F1"),
        (RUN % "" + "name: 3", "name: `name` must be text, got 3"),
        (RUN % "" + "imports: os", "imports: `imports` must be a list of module names, got os"),
        (RUN % "" + "auto_resume: 1", "auto_resume: `auto_resume` must be true or false, got 1"),
        (RUN % "" + "vars: [1]", "vars: `vars` must be a mapping, got [1]"),
        (RUN % "" + "seed: -1", "seed: input should be greater than or equal to 0, got -1"),
        (RUN % "" + "seed: {sweep: [1, x]}", 'seed.sweep[1]: input should be a valid integer, got "x"'),
        (RUN % "" + "seed: $run.seed", "seed: the seed must be a number that the config itself gives"),
        (RUN % "" + "sweep: {lr: [1]}", "`sweep` is no section: alternatives stand where the value is"),
        (RUN % "" + "model: {}", "model: there is no section `model` (known: version, name, seed"),
        (RUN % "" + "component: {}", "component: there is no section `component`; did you mean `components`?"),
        (
            RUN % "" + "validation: {}",
            "`validation` needs a `mode` (known: cross_validation, grid_search, ",
        ),
        (
            RUN % "" + "validation: {mode: gird_search}",
            "no validation mode is called `gird_search`; did you mean `grid_search`?",
        ),
        (RUN % "" + "validation: {mode: {sweep: [grid_search]}}", "validation.mode: no validation mode is called"),
        (
            RUN % "" + "validation: {mode: grid_search, folds: 3}",
            "validation.folds: `grid_search` has no parameter `folds`",
        ),
        ("[1]", "a config is a mapping of sections"),
        ("", "mnist.yml: is empty; a config needs at least `experiment`"),
    ],
)
def test_sections(faults: Faults, text: str, message: str) -> None:
    """Each section takes what it is for, and nothing else is a section."""
    (fault,) = faults(text)
    assert message in fault


def test_modes_of_validation_are_a_table(config_file: Writer) -> None:
    """A mode is registered like a component, and its parameters are checked like a component's."""
    modes = Registry()

    @modes.register("folds")
    class Folds(Mode):
        def __init__(self, split: str, folds: int = 5) -> None:
            self.split = split

    def messages(validation: str) -> list[str]:
        try:
            check(load(config_file(RUN % "x: 1" + f"validation: {validation}")), registry=parts, modes=modes)
        except ConfigError as error:
            return [str(fault).split(": ", 1)[1] for fault in error.faults]
        return []

    assert messages("{mode: folds, split: split, folds: 3}") == []
    assert messages("{mode: folds, split: split, folds: x}") == [
        'validation.folds: input should be a valid integer, got "x"'
    ]
    assert messages("{mode: folds}") == ["validation: `folds` needs the parameter `split`"]
    assert messages("{mode: folds, split: $s}") == [
        "validation.split: `validation` takes plain values: no sweep, no reference"
    ]


def test_further_parameters(faults: Faults) -> None:
    """`**kwargs` take any name, with values of their type."""
    assert faults("experiment: {use: open_ended, a: 1, b: 2}") == []
    assert faults("experiment: {use: open_ended, a: x}") == [
        'mnist.yml:1:31: experiment.a: input should be a valid integer, got "x"'
    ]


def test_a_python_config_is_placed_as_such() -> None:
    """Faults of a dict have the key path alone."""
    with pytest.raises(ConfigError) as caught:
        check(load({"experiment": {"use": "anything", "x": "a"}}), registry=parts)
    assert str(caught.value) == 'python: experiment.x: input should be a valid integer, got "a"'


@dataclass
class _Base:
    width: int
    kinds: ClassVar[list[str]] = []


@dataclass
class _Inner(_Base):
    depth: int = 1


class _Model(BaseModel):
    parts: dict[str, tuple[_Inner, ...]]
    one: Annotated[_Inner | None, Field()] = None


@pytest.mark.parametrize(
    ("annotation", "location", "fields"),
    [
        (_Model, (), ["parts", "one"]),
        (_Model | None, ("one",), ["depth", "width"]),
        # What pydantic adds to locations is passed over.
        (list[_Model], (0, "\0value", "parts", "\0value", "a", 1), ["depth", "width"]),
        (_Inner | Point, (), ["depth", "width", "x", "y"]),
        (Any, ("a", 0), []),
        (dict[str, int], ("a",), []),
    ],
)
def test_fields_inside_of_values(annotation: Any, location: tuple[str | int, ...], fields: list[str]) -> None:
    """Of dataclasses, typed dicts and models, inherited ones too, in lists, mappings and unions."""
    assert fields_at(annotation, location) == fields


def test_circles_do_not_hide_other_faults(faults: Faults) -> None:
    """With components in a circle everything else is still checked, and nothing runs forever."""
    found = faults(
        """
        components:
          a: {use: anything, thing: $b, x: text}
          b: [$a, $c.out]
          c: $b
          d: {use: anything, thing: $d.x}
          l1: {use: data_loaders, datasets: $l2, batch_size: 1}
          l2: {use: data_loaders, datasets: $l1, batch_size: 1}
        experiment: {use: anything, things: [$a, $b, $c, $l1.train]}
        """
    )
    assert sum("in a circle" in fault for fault in found) >= 3
    assert any('got "text"' in fault for fault in found)
