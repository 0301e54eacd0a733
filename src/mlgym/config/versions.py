"""Versions of the config language: what an older config needs to become a current one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from mlgym.config.nodes import Entry, MapNode, Scalar

VERSION: Final = 1
Migration: TypeAlias = Callable[[MapNode], MapNode]
MIGRATIONS: Final[Mapping[int, Migration]] = MappingProxyType({})
"""From a version to the step that makes a config of the next one; nodes keep their places."""


def migrated(root: MapNode, migrations: Mapping[int, Migration] = MIGRATIONS) -> MapNode:
    """Gives a document of the current version; one without `version` is taken as current.

    Args:
        root: the document as written.
        migrations: the steps; version n becomes n + 1.

    Raises:
        ConfigError: a version that is no number, newer than this MLgym, or too old to have a step.
    """
    entry = root.entries.get("version")
    if entry is None:
        return root
    version = entry.value.value if isinstance(entry.value, Scalar) else None
    if type(version) is not int:
        raise entry.mark.error("version", f"the version is a whole number, {VERSION} at present")
    if version > VERSION:
        message = f"version {version} is newer than this MLgym, which knows up to {VERSION}; install a newer one"
        raise entry.mark.error("version", message)
    while version < VERSION:
        if version not in migrations:
            raise entry.mark.error(
                "version", f"version {version} cannot be read any more; the current one is {VERSION}"
            )
        root = migrations[version](root)
        version += 1
    return root.with_entry("version", Entry(entry.mark, Scalar(entry.mark, VERSION)))
