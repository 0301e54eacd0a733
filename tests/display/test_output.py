"""JSON as commands print it."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from rich.table import Table

from mlgym.display.output import console, print_json


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"value": math.nan, "list": [math.inf, -math.inf, 1.5]}, {"value": None, "list": [None, None, 1.5]}),
        ({0: (1, 2)}, {"0": [1, 2]}),
        ({"lone": "a\ud800b"}, {"lone": "a\\ud800b"}),
        ({"key \udfff": [{"deep": "\ud800"}]}, {"key \\udfff": [{"deep": "\\ud800"}]}),
        ({"escape": "\x1b[31m\n"}, {"escape": "\x1b[31m\n"}),
    ],
)
def test_json_is_valid_whatever_it_is_made_of(data: Any, expected: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What JSON cannot carry becomes null or is escaped; every parser takes the rest, and no raw escape is printed."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    print_json(data)
    printed = capsys.readouterr().out
    assert json.loads(printed, parse_constant=refuse) == expected
    assert "\x1b" not in printed


def test_a_page_is_out_before_anything_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it waits in a buffer, so that lines on stderr come after it where both go to one file."""
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="utf-8"))
    console().print("table")
    assert written.getvalue() == b"table\n"


def test_lines_in_a_pipe_end_with_their_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the output is no terminal, the spaces that fill tables up are left out, and empty lines stay."""
    table = Table("name", "what", box=None)
    table.add_row("a", "short")
    table.add_row("\N{CHECK MARK}", "much longer than the others")
    console().print("head\n", table)
    lines = capsys.readouterr().out.split("\n")
    assert [line.rstrip() for line in lines] == lines
    assert lines[:2] == ["head", ""]
    assert lines[-1] == ""
