"""Readers that leave early are no failure, and what a command would have exited with stays."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

BODY = """
import sys
from contextlib import nullcontext
from mlgym.cli.pipes import readers_may_leave
with {protection}():
    print("what nobody reads", file=sys.{stream}{more})
raise SystemExit(3)
"""


def _exit_code(protection: str, stream: str, more: str) -> int:
    body = BODY.format(protection=protection, stream=stream, more=more)
    reading, writing = os.pipe()
    os.close(reading)
    pipes: dict[str, Any] = {stream: writing}
    try:
        return subprocess.run([sys.executable, "-c", body], timeout=240, check=False, **pipes).returncode
    finally:
        os.close(writing)


@pytest.mark.parametrize("more", ["", ", flush=True"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_exit_code_stays(stream: str, more: str) -> None:
    """Whether the loss shows at once or only when the process ends."""
    assert _exit_code("readers_may_leave", stream, more) == 3


def test_control_without_it() -> None:
    """An error ends the process, with another code."""
    assert _exit_code("nullcontext", "stdout", ", flush=True") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_for_nobody(arguments: list[str]) -> None:
    """Help is printed while the command line is read, and its reader may leave too."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run([sys.executable, "-m", "mlgym", *arguments], timeout=240, check=False, stdout=writing)
    finally:
        os.close(writing)
    assert ended.returncode == 0
