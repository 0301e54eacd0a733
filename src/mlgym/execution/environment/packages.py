"""Installed packages: their versions, and hashes of their files where the installer noted these."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

_MAIN: Final = (
    "mlgym",
    "torch",
    "numpy",
    "torchmetrics",
    "scikit-learn",
    "scipy",
    "pydantic",
    "PyYAML",
    "msgspec",
    "safetensors",
    "polars",
)
_SOURCE_SUFFIXES: Final = (".py", ".yml")


def package_versions() -> dict[str, str]:
    """Gives the installed versions of what computes the numbers, by package name, without importing them."""
    versions = {}
    for package in _MAIN:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def installed_packages() -> dict[str, str]:
    """Gives the versions of all installed packages, by name in alphabetical order."""
    return {name: version for name, version, _ in _distributions()}


def package_hashes() -> dict[str, dict[str, str]]:
    """Gives hashes of the installed packages, by name.

    Returns:
        `sha256`: over path, hash and size of each file that the installer noted, so that it tells builds of one version
        apart and is the same wherever a package is installed; for MLgym itself over its source. `archive`: hash of the
        archive that it was installed from by address. Packages without either are left out.
    """
    found: dict[str, dict[str, str]] = {}
    for name, _, distribution in _distributions():
        hashes = {
            "sha256": _own_source() if name == "mlgym" else content_hash(distribution),
            "archive": archive_hash(distribution),
        }
        known = {kind: value for kind, value in hashes.items() if value is not None}
        if known:
            found[name] = known
    return found


@cache
def _distributions() -> tuple[tuple[str, str, metadata.Distribution], ...]:
    found: dict[str, tuple[str, str, metadata.Distribution]] = {}
    for distribution in metadata.distributions():
        # Parsing it as a mail, as `importlib.metadata` does, takes ten times as long.
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        name = re.search(r"^Name:\s*(\S+)", text, re.MULTILINE)
        version = re.search(r"^Version:\s*(\S+)", text, re.MULTILINE)
        if name and version:
            # The first on the path is what an import finds.
            found.setdefault(name[1].lower(), (name[1], version[1], distribution))
    return tuple(found[name] for name in sorted(found))


@cache
def content_hash(distribution: metadata.Distribution) -> str | None:
    """Gives a hash of a package's files by the installer's notes, the same wherever it is installed; None without."""
    record = distribution.read_text("RECORD")
    if not record:
        return None
    # Left out is what differs from place to place: compiled files, scripts, the installer's own notes.
    lines = [
        line
        for line in record.splitlines()
        if ",sha256=" in line and ".dist-info/" not in line and not line.startswith("../")
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def archive_hash(distribution: metadata.Distribution) -> str | None:
    """Gives the hash of the archive that a package was installed from by address; None without."""
    try:
        origin: Any = json.loads(distribution.read_text("direct_url.json") or "{}")
        archive = origin.get("archive_info", {})
        hashes = archive.get("hashes") or {}
        known = archive.get("hash") or next((f"{kind}={value}" for kind, value in hashes.items()), None)
    except (ValueError, AttributeError):
        return None
    return known if isinstance(known, str) else None


@cache
def _own_source() -> str:
    """Gives the hash of MLgym's source, which a development install changes without changing its version."""
    root = Path(__file__).parents[2]
    hasher = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix in _SOURCE_SUFFIXES):
        content = path.read_bytes()
        hasher.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return hasher.hexdigest()
