"""YAML output: read back it is the same, for this reader and for others."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgym.config import dump_yaml, load, render_with_places
from mlgym.config.load import parse_yaml
from mlgym.config.nodes import Source, to_plain

from .conftest import Writer

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(
        ["no", "1e-4", "1", "~", "", " a", "a ", "a: b", "- x", "# c", "$x", "$$", "<<", "=", "1_0", ".inf"]
    )
)
plain_data = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


@given(plain_data)
@settings(max_examples=300, deadline=None)
def test_what_is_dumped_is_read_back(data: Any) -> None:
    """Loading what was dumped gives the same values of the same types."""
    found = to_plain(parse_yaml(dump_yaml(data), Source("x")))
    assert repr(found) == repr(data)


@given(st.dictionaries(st.text(), st.booleans() | st.integers(-1000, 1000) | st.text(), max_size=5))
@settings(max_examples=200, deadline=None)
def test_other_readers_understand_it(data: dict[str, Any]) -> None:
    """PyYAML, which follows YAML 1.1, reads texts and integers the same, since what it would mistake is quoted."""
    found = yaml.safe_load(dump_yaml(data)) or {}
    assert {str(key): value for key, value in found.items()} == data


def test_layout() -> None:
    """Components stand on one line where they fit, sections in blocks."""
    data = {
        "components": {
            "model": {"use": "mlp", "hidden": [64, 64]},
            "long": {"use": "x", "a": "y" * 60, "b": "z" * 60},
            "layers": [{"use": "conv", "out": 3}, {"use": "stack", "of": [{"use": "conv", "out": 4}]}],
        },
        "vars": {},
    }
    assert dump_yaml(data) == (
        "components:\n"
        "  model: {use: mlp, hidden: [64, 64]}\n"
        f"  long:\n    use: x\n    a: {'y' * 60}\n    b: {'z' * 60}\n"
        "  layers:\n"
        "    - {use: conv, out: 3}\n"
        "    - {use: stack, of: [{use: conv, out: 4}]}\n"
        "vars: {}\n"
    )


def test_places_of_values(config_file: Writer) -> None:
    """Each value of a merged config says which file and line, preset or override it came from."""
    config_file("components:\n  model: {use: mlp, hidden: [3]}\n  b: {use: x}\n", "base.yml")
    name = config_file("extends: base.yml\ncomponents:\n  model:\n    hidden: [4]\nexperiment: {use: $x}\n", "top.yml")
    assert render_with_places(load(name, ["b.c=1"])) == (
        "components:\n"
        "  model:\n"
        "    use: mlp  # base.yml:2\n"
        "    hidden: [4]  # top.yml:4\n"
        "  b:\n"
        "    use: x  # base.yml:3\n"
        "    c: 1  # command line `b.c=1`\n"
        "experiment: {use: $x}  # top.yml:5"
    )
