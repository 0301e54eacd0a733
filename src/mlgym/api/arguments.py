"""Arguments of the Python API in the words of the command line."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


def override_texts(changes: Mapping[str, Any]) -> list[str]:
    """Gives changes by key as `KEY=VALUE` texts."""
    return [f"{key}={msgspec.json.encode(value).decode()}" for key, value in changes.items()]


def command_text(command: Sequence[str]) -> list[str]:
    """Gives a command for the record; this process's own where it is empty."""
    # A file name that is no UTF-8 is a valid argument, but no log takes it.
    return [one.encode(errors="surrogateescape").decode(errors="backslashreplace") for one in command or sys.argv]
