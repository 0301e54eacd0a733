"""Prints rows of benchmarks as tables, and writes them to RESULTS.md with date, machine, versions and load."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "RESULTS.md"
PACKAGES = (
    "mlgym", "torch", "accelerate", "lightning", "pytorch-ignite", "skorch", "hydra-core", "jsonargparse", "numpy",
    "pydantic", "scikit-learn", "mlflow", "aim", "tensorboard", "trackio", "wandb",
)  # fmt: skip


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


def verdict(measured: float, goal: float, unit: str = "") -> str:
    """Gives the goal and whether it was met; `measured` must be at most `goal`."""
    return f"<= {goal:g}{unit}: {'met' if measured <= goal else 'MISSED'}"


def machine() -> str:
    """Gives a line about the machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.processor())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def versions() -> str:
    """Gives the versions of what is measured, and of what it stands on."""
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def load() -> str:
    """Gives how many processes wanted a core in the last minute; 1 of them is the benchmark."""
    return f"{os.getloadavg()[0]:.1f}"


@dataclass(frozen=True)
class Section:
    """What one benchmark found.

    Args:
        title: of its section.
        command: what measures it again.
        rows: of its tables.
        loads: load average before and after.
        wall_s: how long it took, in s.
    """

    title: str
    command: str
    rows: Sequence[dict[str, Any]]
    loads: tuple[str, str]
    wall_s: float


def write_results(sections: Sequence[Section]) -> None:
    """Writes RESULTS.md: the circumstances, then for each section its command and its tables."""
    minutes = sum(section.wall_s for section in sections) / 60
    text = [
        "# Benchmark results",
        "",
        f"`make bench` on {date.today().isoformat()}, {minutes:.0f} minutes.",
        "",
        f"- Machine: {machine()}.",
        f"- Versions: {versions()}.",
        "- The machine is shared; each section says how busy it was (load average of the minute before it and at its",
        "  end, of which the benchmark itself is 1 to 2). So times are CPU times where not said otherwise, and",
        "  contenders take turns: ratios hold, single times may be high.",
        "- `goal` is what the project set itself; MISSED where it was not reached in this run.",
    ]
    RESULTS.write_text("\n".join(text) + "\n" + "".join(_text_of(section) for section in sections))


def replace_results(sections: Sequence[Section]) -> None:
    """Writes sections into RESULTS.md in place of those of their titles, or behind all others."""
    marker = "\n## "
    head, *parts = RESULTS.read_text().split(marker)
    kept = {part.partition("\n")[0]: marker + part for part in parts}
    for section in sections:
        kept[section.title] = _text_of(section, f" on {date.today().isoformat()}")
    RESULTS.write_text(head + "".join(kept.values()))


def _text_of(section: Section, when: str = "") -> str:
    before, after = section.loads
    circumstances = f"`{section.command}`{when}, {section.wall_s:.0f} s, load {before} before and {after} after."
    return f"\n## {section.title}\n\n{circumstances}\n\n{markdown(section.rows)}\n"
