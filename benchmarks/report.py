"""Prints rows of benchmarks as tables, and writes them to RESULTS.md with date, machine and command."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "RESULTS.md"


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Gives one table for each value of `table`, in the order in which they come."""
    parts = []
    for name in dict.fromkeys(str(row.get("table", "")) for row in rows):
        of_table = [row for row in rows if str(row.get("table", "")) == name]
        keys = [key for key in dict.fromkeys(key for row in of_table for key in row) if key != "table"]
        lines = [f"### {name}", "", "| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
        lines += ["| " + " | ".join(str(row.get(key, "")) for key in keys) + " |" for row in of_table]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the tables."""
    print(markdown(rows))


def machine() -> str:
    """Gives a line about the machine and the versions that matter."""
    import torch

    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    import os

    return f"{cpu}, {os.cpu_count()} cores; Python {platform.python_version()}, torch {torch.__version__}"


def write_results(sections: dict[str, tuple[str, Sequence[dict[str, Any]]]]) -> None:
    """Writes RESULTS.md: for each section its command and its tables."""
    text = [
        "# Benchmark results",
        "",
        f"Measured on {date.today().isoformat()}: {machine()}. The machine is shared:",
        "ratios within one run say more than single times. All of it again: `make bench`.",
    ]
    for title, (command, rows) in sections.items():
        text += ["", f"## {title}", "", f"`{command}`", "", markdown(rows)]
    RESULTS.write_text("\n".join(text) + "\n")
