"""`extends`: files on files, presets, and what merges."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgym.config import load
from mlgym.errors import ConfigError

from .conftest import Writer


def error(source: str) -> str:
    """Gives the error of loading a file."""
    with pytest.raises(ConfigError) as caught:
        load(source)
    return str(caught.value)


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        ("{a: 1, b: 2}", "{b: 3, c: 4}", {"a": 1, "b": 3, "c": 4}),
        ("{a: {b: 1, c: 2}}", "{a: {c: 3}}", {"a": {"b": 1, "c": 3}}),
        ("{a: [1, 2]}", "{a: [3]}", {"a": [3]}),
        ("{a: {b: 1}}", "{a: null}", {"a": None}),
        ("{a: {use: x, p: 1}}", "{a: {p: 2, q: 3}}", {"a": {"use": "x", "p": 2, "q": 3}}),
        ("{a: {use: x, p: 1}}", "{a: {use: x, q: 3}}", {"a": {"use": "x", "p": 1, "q": 3}}),
        ("{a: {use: x, p: 1}}", "{a: {use: y, q: 3}}", {"a": {"use": "y", "q": 3}}),
        ("{a: {p: 1}}", "{a: {use: y}}", {"a": {"use": "y"}}),
        ("{a: {sweep: [1, 2]}}", "{a: {sweep: [3]}}", {"a": {"sweep": [3]}}),
        ("{a: {sweep: [1, 2], zip: g}}", "{a: {sweep: [3]}}", {"a": {"sweep": [3]}}),
        ("{a: {use: x}}", "{a: {sweep: [1]}}", {"a": {"sweep": [1]}}),
        ("{a: {sweep: [1]}}", "{a: {use: x}}", {"a": {"use": "x"}}),
        ("{a: 1}", "{a: {b: 2}}", {"a": {"b": 2}}),
    ],
)
def test_what_merges_and_what_replaces(config_file: Writer, base: str, over: str, result: object) -> None:
    """Mappings merge; lists, sweeps and components of another name replace."""
    config_file(f"vars: {base}", "base.yml")
    assert load(config_file(f"extends: base.yml\nvars: {over}")).data == {"vars": result}


def test_several_files_later_ones_win(config_file: Writer) -> None:
    """A list of files is merged in its order; paths start from the file that names them."""
    config_file("vars: {a: 1, b: 1, c: 1}", "x/one.yml")
    config_file("extends: one.yml\nvars: {b: 2, c: 2}", "x/two.yml")
    config_file("vars: {c: 3, d: 3}", "three.yml")
    document = load(config_file("extends: [x/two.yml, three.yml]\nname: top"))
    assert document.data == {"vars": {"a": 1, "b": 2, "c": 3, "d": 3}, "name": "top"}


def test_faults_are_placed_in_their_own_file(config_file: Writer) -> None:
    """Each value keeps the file it is written in, shown as the user would find it."""
    config_file("vars: {a: 1}\nsead: 3", "x/base.yml")
    (fault,) = (str(fault) for fault in load(config_file("extends: x/base.yml\nexperiment: {use: y}")).faults)
    assert fault.startswith("x/base.yml:2:1: sead: there is no section `sead`; did you mean `seed`?")


def test_a_sweep_among_sections_replaces_nothing(config_file: Writer) -> None:
    """It is one fault; what is extended is still there."""
    config_file("experiment: {use: y}", "base.yml")
    document = load(config_file("extends: base.yml\nsweep: {lr: [1]}"))
    assert [fault.path for fault in document.faults] == ["sweep"]
    assert "experiment" in document.data


def test_files_in_a_circle(config_file: Writer) -> None:
    """The ring is shown; the same file twice without a circle is fine (the control)."""
    config_file("extends: b.yml", "a.yml")
    config_file("extends: x/../a.yml", "b.yml")
    Path("x").mkdir()
    assert error("a.yml") == "b.yml:1:1: extends: files extend each other in a circle: a.yml -> b.yml -> a.yml"
    config_file("vars: {a: 1}", "base.yml")
    config_file("extends: base.yml", "one.yml")
    assert load(config_file("extends: [base.yml, one.yml]", "top.yml")).data == {"vars": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: none.yml", "mnist.yml:1:1: extends: no such file: `none.yml`, looked for in "),
        ("extends: [3]", "mnist.yml:1:11: extends: `extends` takes a file name, `preset/NAME`, or a list of them"),
        ("extends: {a: b}", "mnist.yml:1:1: extends: `extends` takes a file name"),
        (
            "extends: preset/clasification",
            "no preset is called `preset/clasification`; did you mean `preset/classification`?",
        ),
        ("extends: preset/../../errors", "no preset is called `preset/../../errors`"),
        ("extends: broken.yml", "broken.yml:2:1: is not YAML"),
        ("extends: list.yml", "list.yml:1:1: a config is a mapping of sections"),
        ("extends: empty.yml", "empty.yml: is empty; a config needs at least `experiment`"),
        ("extends: .", "no such file"),
    ],
)
def test_what_cannot_be_extended(config_file: Writer, text: str, message: str) -> None:
    """Each names the file and why."""
    config_file("a: [\n", "broken.yml")
    config_file("- 1", "list.yml")
    config_file("# nothing", "empty.yml")
    assert message in error(config_file(text))


def test_files_cannot_multiply(config_file: Writer) -> None:
    """Files that name others twice each, level by level, are stopped."""
    config_file("vars: {}", "f0.yml")
    for i in range(1, 30):
        config_file(f"extends: [f{i - 1}.yml, f{i - 1}.yml]", f"f{i}.yml")
    assert "extends more than 64 files" in error("f29.yml")


def test_a_dict_can_extend(config_file: Writer) -> None:
    """In Python, paths start from the current folder."""
    config_file("vars: {a: 1, b: 2}", "base.yml")
    assert load({"extends": "base.yml", "vars": {"b": 3}}).data == {"vars": {"a": 1, "b": 3}}
