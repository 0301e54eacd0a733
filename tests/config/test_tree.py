"""References and `vars`: what they stand for, circles, and sizes that grow."""

from __future__ import annotations

import pytest

from mlgym.config.references import ComponentName, FactName, VarName, escaped, is_reference, parse_reference, unescaped
from mlgym.errors import ConfigError
from tests.work import num_calls

from .conftest import Checker, Faults

RUN = "experiment: {use: anything, %s}\n"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("$model", ComponentName("model")),
        ("$split.train", ComponentName("split", "train")),
        ("$data.0", ComponentName("data", "0")),
        ("$vars.x", VarName(("x",))),
        ("$vars.x.y.0", VarName(("x", "y", "0"))),
        ("$run.seed", FactName("seed")),
    ],
)
def test_references_that_are_well_formed(text: str, target: object) -> None:
    """Each form names what is meant, and shows itself as it is written."""
    assert parse_reference(text) == target
    assert str(target) == text


@pytest.mark.parametrize(
    "text", ["$", "$1", "$a b", "$a.", "$.a", "${a}", "$a-b", "$vars", "$run", "$run.x", "$run.seed.x", "$a.b.c"]
)
def test_references_that_are_malformed(text: str) -> None:
    """Each says what is wrong instead of becoming text."""
    assert is_reference(text)
    with pytest.raises(ValueError, match=r"\$"):
        parse_reference(text)


def test_two_dollars_are_one() -> None:
    """A dollar is written twice, and only the first counts."""
    assert [unescaped(text) for text in ("$$x", "$$$x", "a$b", "")] == ["$x", "$$x", "a$b", ""]
    assert [escaped(text) for text in ("$x", "$$x", "a$b", "")] == ["$$x", "$$$x", "a$b", ""]
    assert not is_reference("$$x")


def test_malformed_reference_in_a_config(faults: Faults) -> None:
    """The message says how to write a dollar."""
    assert faults(RUN % "text: $5 a day") == [
        (
            "mnist.yml:1:29: experiment.text: `$5 a day` is no reference such as `$name`, `$name.output`, `$vars.x` or "
            "`$run.seed`; write `$$5 a day` if a dollar is meant"
        )
    ]


def test_vars_stand_for_what_is_written(space: Checker) -> None:
    """Values, parts of values, values that are values again, and whole subtrees are put in."""
    point = space(
        RUN % "x: $vars.a, text: $vars.s, table: $vars.d.e, f: $vars.d.e.g, pair: [$vars.l.1, $vars.b]"
        + "vars: {a: 3, b: $vars.a, s: $$x, d: {e: {g: 0.5}}, l: [1, 2]}\n"
    )[0]
    assert point.config["experiment"] == {
        "use": "anything",
        "x": 3,
        "text": "$$x",
        "table": {"g": 0.5},
        "f": 0.5,
        "pair": [2, 3],
    }
    assert "vars" not in point.config


def test_unknown_value(faults: Faults) -> None:
    """A misspelled value names the nearest one, at the level where it is missing."""
    text = RUN % "x: $vars.rat, f: $vars.deep.rate" + "vars: {rate: 1, deep: {rates: 1}}\n"
    assert faults(text) == [
        "mnist.yml:1:29: experiment.x: `vars` has no `rat`; did you mean `rate`? (known: rate, deep)",
        "mnist.yml:1:43: experiment.f: `vars.deep` has no `rate`; did you mean `rates`? (known: rates)",
    ]


def test_a_value_inside_a_sweep_has_no_single_meaning(faults: Faults) -> None:
    """A path through alternatives is refused."""
    (fault,) = faults(RUN % "x: $vars.o.a" + "vars: {o: {sweep: [{a: 1}, {a: 2}]}}\n")
    assert "`$vars.o.a` goes into `vars.o`, which is a sweep" in fault


def test_values_in_a_circle(faults: Faults) -> None:
    """The ring is shown with places, also through lists."""
    (fault,) = faults(RUN % "thing: $vars.a" + "vars:\n  a: [$vars.b]\n  b: {c: $vars.a}\n")
    assert "values need each other in a circle" in fault
    assert "vars.b (mnist.yml:4:3) -> vars.a (mnist.yml:3:3) -> vars.b" in fault


def test_a_wrong_value_is_shown_where_it_is_written(faults: Faults) -> None:
    """The place is that of the value, the path that of its use, and the note says what it is called."""
    assert faults(RUN % "x: $vars.a" + "vars:\n  a: text\n") == [
        'mnist.yml:3:3: experiment.x: input should be a valid integer, got "text" (written at `vars.a`)'
    ]


def test_laughing_vars_are_refused_at_once(faults: Faults) -> None:
    """`vars` cannot build what aliases may not."""
    lines = ["vars:", "  v0: [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"  v{i + 1}: [{', '.join([f'$vars.v{i}'] * 10)}]" for i in range(9)]
    (fault,), work = num_calls(lambda: faults(RUN % "thing: $vars.v9" + "\n".join(lines)))
    assert "holds more than 250,000 values once `$vars` are written out" in fault
    assert work < 250_000


def test_deep_vars_are_refused(faults: Faults) -> None:
    """`vars` cannot nest deeper than a file may."""
    lines = ["vars:", "  v0: [x]", *(f"  v{i + 1}: [$vars.v{i}]" for i in range(100))]
    (fault,) = faults(RUN % "thing: $vars.v100" + "\n".join(lines))
    assert "is nested more than 64 levels deep once `$vars` are written out" in fault


def test_long_chains_are_no_trouble(space: Checker, faults: Faults) -> None:
    """Thousands of values or components in a row are read; a chain of mere names is refused with a message."""
    chain = "\n".join(f"  v{i + 1}: $vars.v{i}" for i in range(3000))
    assert space(RUN % "x: $vars.v3000" + "vars:\n  v0: 3\n" + chain)[0].config["experiment"]["x"] == 3
    names = "\n".join(f"  v{i + 1}: $v{i}" for i in range(3000))
    assert faults(RUN % "thing: $v3000" + "components:\n  v0: {use: anything}\n" + names) == [
        "mnist.yml:1:1: components refer to each other in too many steps"
    ]


@pytest.mark.parametrize("name", ["vars", "run", "a-b", "1a", "a.b", "''"])
def test_names_that_components_cannot_have(faults: Faults, name: str) -> None:
    """What no reference could say is no name."""
    (fault,) = faults(RUN % "x: 1" + f"components: {{{name}: {{use: anything}}}}\n")
    assert "a component cannot be named" in fault


def test_errors_do_not_hide_each_other(space: Checker) -> None:
    """One mistake is one message: what a broken part would have been doesn't matter to the rest."""
    text = RUN % "x: $vars.nope, f: text, pair: {sweep: []}, thing: $nope"
    with pytest.raises(ConfigError) as caught:
        space(text)
    assert len(caught.value.faults) == 4
