"""YAML to nodes: values by YAML 1.2, places, and everything that is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgym.config.load import MAX_BYTES, parse_yaml, read_file
from mlgym.config.nodes import MapNode, Source, to_plain
from mlgym.errors import ConfigError
from tests.work import num_calls

FILE = Source("x.yml")


def parsed(text: str) -> object:
    """Gives the plain data of a YAML text."""
    return to_plain(parse_yaml(text, FILE))


def fault(text: str) -> str:
    """Gives the one fault of a YAML text."""
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, FILE)
    (only,) = caught.value.faults
    return str(only)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("no", "no"),
        ("on", "on"),
        ("012", 12),
        ("0o14", 12),
        ("0xC", 12),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2026-11-23", "2026-11-23"),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("-0", 0),
        ("~", None),
        ("Null", None),
        ("nULL", "nULL"),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("|\n  1", "1"),
        (".", "."),
        ("-", [None]),
        ("- ", [None]),
        ("''", ""),
        ("=", "="),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    """Plain words are numbers, truth values and null as the core schema says; what is quoted stays text."""
    found = parsed(text)
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_as_written() -> None:
    """A key keeps its characters, whatever its value would be."""
    assert parsed("{3: 0, 1e-4: 1, true: 2, ~: 3, 'x': 4, 007: 5}") == {
        "3": 0,
        "1e-4": 1,
        "true": 2,
        "~": 3,
        "x": 4,
        "007": 5,
    }


def test_marks_are_those_of_keys_and_values() -> None:
    """An entry knows the line and column of its key, a node its own."""
    node = parse_yaml("a: 1\nb:\n  - c: [2, 3]\n", FILE)
    assert isinstance(node, MapNode)
    entry = node.entries["b"]
    assert entry.mark.place == "x.yml:2:1"
    assert entry.value.mark.place == "x.yml:3:3"


def test_aliases_are_copies() -> None:
    """An alias stands for what its anchor holds."""
    assert parsed("a: &x [1, {b: 2}]\nc: *x\nd: [*x]") == {"a": [1, {"b": 2}], "c": [1, {"b": 2}], "d": [[1, {"b": 2}]]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "x.yml:3:1: the key `a` is there twice, first at x.yml:1:1"),
        ("{1: a, '1': b}", "x.yml:1:8: the key `1` is there twice, first at x.yml:1:2"),
        ("a: !!python/object:os.system x", "x.yml:1:4: a: tags such as `!!python/object:os.system` are not allowed"),
        ("a: !local [1]", "x.yml:1:4: a: tags such as `!local` are not allowed"),
        ("!!int a: 1", "x.yml:1:1: tags such as `!!int` are not allowed"),
        ("a: &x {b: 1}\nc: {<<: *x}", "x.yml:2:5: c: `<<` is not allowed; use `extends` to build on another file"),
        ("? [1, 2]\n: 3", "x.yml:1:3: a list or mapping cannot be a key"),
        ("a: &x 1\n*x : 2", "x.yml:2:1: an alias cannot be a key"),
        ("&x a: 1", "x.yml:1:1: a key cannot have an anchor"),
        ("a: *x", "x.yml:1:4: a: there is no anchor `&x` before this alias"),
        ("a: &x [*x]", "x.yml:1:8: a: the alias `*x` lies inside its own anchor"),
        ("a: 1\n---\nb: 2", "x.yml:2:1: holds a second document; a config is one"),
        ("a: .nan", "x.yml:1:4: a: numbers must be finite, since JSON has no nan"),
        ("a: [-.inf]", "x.yml:1:5: a: numbers must be finite"),
        ("a: 1e999", "x.yml:1:4: a: numbers must be finite"),
        ("a: 18446744073709551616", "x.yml:1:4: a: integers must fit into 64 bits; write it as text"),
        ("a: " + "9" * 5000, "x.yml:1:4: a: integers must fit into 64 bits; write it as text"),
        ("a: [1,\nb: 2", "x.yml:3:1: is not YAML: while parsing a flow sequence that starts at line 1: did not find"),
        ("a:\n\t- 1", "x.yml:2:1: is not YAML: a tab: indent with spaces"),
        ("ä: 1\nb: @me", "x.yml:2:4: is not YAML: `@` begins no value: put it in quotes"),
        ("a: 'x", "x.yml:1:6: is not YAML"),
        ("a: b: c", "x.yml:1:5: is not YAML: mapping values are not allowed in this context"),
        ("a: b: c", "; text with `: ` in it needs quotes"),
        ("a: 1\nb:2\nc: 3", "could not find expected ':'; write `key: value`, with a colon and a space"),
        ("a: 1\n b: 2", "mapping values are not allowed in this context; text with `: ` in it needs quotes, and keys "),
        ("a:\n  b: 1\n c: 2", "did not find expected key; the keys of one mapping begin in the same column"),
        ("{a: ${B}}", "; there are no `${...}` here: `$vars.x` is a value of `vars`"),
        ("a: \x00", "x.yml: is not YAML: control characters are not allowed (line 1)"),
        ("%YAML 2.0\n---\na: 1", "x.yml:1:1: is not YAML"),
        ('a: "\\uD800"', "x.yml:1:"),
        ("[" * 100, "x.yml:1:65: is nested more than 64 levels deep"),
        ("{a: " * 100, "is nested more than 64 levels deep"),
        ("- " * 100, "is nested more than 64 levels deep"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    """Each has a fault with its place and no traceback."""
    assert message in fault(text)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\n\n"])
def test_an_empty_text_is_null(text: str) -> None:
    """Nothing written is null; whether that is a config others say."""
    assert parsed(text) is None


def test_depth_counts_through_aliases() -> None:
    """Anchors inside anchors cannot build what may not be written out."""
    lines = ["a0: &a0 [[[[[[[[[[x]]]]]]]]]]"] + [f"a{i}: &a{i} [[[[[[[[[[*a{i - 1}]]]]]]]]]]" for i in range(1, 8)]
    assert "is nested more than 64 levels deep once its aliases are written out" in fault("\n".join(lines))


def laughs(levels: int) -> str:
    """Gives ten to the power of `levels` words by aliases."""
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


def test_a_billion_laughs_are_refused_at_once() -> None:
    """The size is counted before anything is written out; with few levels the same form is read (the control)."""
    assert to_plain(parse_yaml(laughs(3), FILE))
    refusal, work = num_calls(lambda: fault(laughs(9)))
    assert "holds more than 250,000 values once its aliases are written out" in refusal
    assert work < 250_000


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "&a [", '"', "!", "a:\n "])
def test_depth_100_000_is_refused_at_once(opening: str) -> None:
    """No form of nesting costs more calls than it has levels, or ends in a recursion error."""
    _, work = num_calls(lambda: fault(opening * 100_000))
    assert work < 100_000


def test_a_text_may_be_one_mebibyte() -> None:
    """A larger text is refused before it is parsed, one of the limit is read (the control)."""
    assert parse_yaml("a: " + "x" * (MAX_BYTES - 3), FILE) is not None
    assert fault("a: " + "x" * (MAX_BYTES - 2)) == "x.yml: is larger than 1,048,576 bytes"


def test_reading_files(tmp_path: Path) -> None:
    """Whatever cannot be read says why, with the place where the encoding is wrong; a byte order mark is no text."""

    def message(path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            read_file(path, FILE)
        return str(caught.value)

    assert message(tmp_path / "none.yml") == "x.yml: no such file"
    assert message(tmp_path) == "x.yml: is a folder; give a YAML file"
    assert "cannot be read" in message(Path("a\0b"))
    bad = tmp_path / "bad.yml"
    bad.write_bytes(b"a: 1\nb: \xff\xfe\n")
    assert message(bad) == "x.yml:2:4: is not UTF-8 text; save it with that encoding"
    bad.write_bytes(b"x" * (MAX_BYTES + 1))
    assert message(bad) == "x.yml: is larger than 1,048,576 bytes"
    bad.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_file(bad, FILE) == "a: 1"
