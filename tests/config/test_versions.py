"""Versions of the config language, and the steps from an older one to the current one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlgym.config import load
from mlgym.config.nodes import Entry, MapNode
from mlgym.config.versions import VERSION, migrated
from mlgym.errors import ConfigError

from .conftest import Writer


def _renamed(old: str, new: str) -> Callable[[MapNode], MapNode]:
    """Gives a migration that renames a section."""

    def step(root: MapNode) -> MapNode:
        return MapNode(root.mark, {new if key == old else key: entry for key, entry in root.entries.items()})

    return step


_STEPS = {-1: _renamed("root", "main"), 0: _renamed("main", "experiment")}


def test_an_older_config_goes_through_each_step(config_file: Writer) -> None:
    """Two versions behind takes two steps, one behind takes one; places in messages are those of the file."""
    for version, section in ((-1, "root"), (0, "main"), (VERSION, "experiment")):
        document = load(config_file(f"version: {version}\n{section}:\n  use: train\n"), migrations=_STEPS)
        assert document.data == {"version": VERSION, "experiment": {"use": "train"}}
        assert document.root.entries["experiment"].mark.place == "mnist.yml:2:1"


def test_each_file_has_its_own_version(config_file: Writer) -> None:
    """A current config may extend an old one, and the other way round."""
    config_file("version: 0\nmain: {use: train}\n", "old.yml")
    assert load(config_file("version: 1\nextends: old.yml\n"), migrations=_STEPS).data["experiment"] == {"use": "train"}
    config_file("version: 1\nexperiment: {use: train}\n", "new.yml")
    document = load(config_file("version: 0\nextends: new.yml\nmain: {epochs: 3}\n"), migrations=_STEPS)
    assert document.data["experiment"] == {"use": "train", "epochs": 3}


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("2", "version 2 is newer than this MLgym, which knows up to 1; install a newer one"),
        ("0", "version 0 cannot be read any more; the current one is 1"),
        ("'1'", "the version is a whole number, 1 at present"),
        ("1.0", "the version is a whole number, 1 at present"),
        ("true", "the version is a whole number, 1 at present"),
        ("[1]", "the version is a whole number, 1 at present"),
    ],
)
def test_versions_that_cannot_be_read(config_file: Writer, version: str, message: str) -> None:
    """Each says which version this MLgym knows, at the place where the version is written."""
    with pytest.raises(ConfigError) as caught:
        load(config_file(f"name: a\nversion: {version}\n"))
    assert str(caught.value) == f"mnist.yml:2:1: version: {message}"


def test_a_config_without_a_version_is_a_current_one(tmp_path: Path) -> None:
    """Nothing is changed, and no version is made up."""
    document = load({"experiment": {"use": "train"}})
    assert "version" not in document.data
    assert migrated(document.root, {}) is document.root
    assert isinstance(document.root.entries["experiment"], Entry)
