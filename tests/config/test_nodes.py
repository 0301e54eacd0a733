"""Python data to nodes and back, and how paths and places are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlgym.config.nodes import MAX_NODES, Source, from_plain, override_key, purpose_path, show_path, to_plain
from mlgym.errors import ConfigError


def test_python_values_become_plain_data() -> None:
    """Tuples, paths, NumPy scalars and keys that are no text are taken as what YAML would hold."""
    data = {3: (1, 2), True: Path("a/b"), None: np.float32(0.5), "n": np.int64(3), "b": np.bool_(True), 2.5: "x"}
    assert to_plain(from_plain(data)) == {
        "3": [1, 2],
        "true": "a/b",
        "null": 0.5,
        "n": 3,
        "b": True,
        "2.5": "x",
    }


def endless() -> dict[str, Any]:
    """Gives a dict that contains itself."""
    data: dict[str, Any] = {}
    data["a"] = data
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": {1, 2}}, "python: a: must be plain data (numbers, text, lists, mappings), got {1, 2} of type set"),
        ({"a": [object]}, "python: a[0]: must be plain data"),
        ({"a": float("nan")}, "python: a: numbers must be finite"),
        ({"a": 2**64}, "python: a: integers must fit into 64 bits"),
        ({"a": "\ud800"}, "python: a: text must be valid Unicode"),
        ({(1, 2): 3}, "python: a key must be text, got (1, 2)"),
        ({1: 2, "1": 3}, "python: the key `1` is there twice"),
        (endless(), "is nested more than 64 levels deep, or contains itself"),
        ([0] * MAX_NODES, "python: holds more than 250,000 values"),
    ],
)
def test_what_json_cannot_hold_is_refused(data: Any, message: str) -> None:
    """Each has a fault with its key path."""
    with pytest.raises(ConfigError) as caught:
        from_plain(data)
    assert message in str(caught.value)


def test_paths() -> None:
    """Errors show indices in brackets; seeds and overrides have dots alone."""
    path = ("components", "model", "layers", 0, "out")
    assert show_path(path) == "components.model.layers[0].out"
    assert purpose_path(path) == "components.model.layers.0.out"
    assert override_key(path) == "model.layers.0.out"
    assert override_key(("experiment", "epochs")) == "experiment.epochs"
    assert override_key(("components",)) == "components"


def test_places() -> None:
    """A place has line and column where they help."""
    assert Source("python").start.place == "python"
    assert Source("x.yml").start._replace(line=3, column=7).place == "x.yml:3:7"
    assert Source("command line", has_lines=False).start._replace(line=3, column=7).place == "command line"
