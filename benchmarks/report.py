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


def write_section(section: Section) -> None:
    """Writes a section into RESULTS.md in place of that of its title, or behind all others."""
    head, kept = _parts()
    kept[section.title] = _text_of(section)
    RESULTS.write_text(head + "".join(kept.values()))


def write_head(wall_s: float) -> None:
    """Writes the circumstances of a whole `make bench` that took so many seconds."""
    text = [
        "# Benchmark results",
        "",
        f"`make bench` on {date.today().isoformat()}, {wall_s / 60:.0f} minutes.",
        "",
        f"- Machine: {machine()}.",
        f"- Versions: {versions()}.",
        "- The machine is shared; each section says how busy it was (load average of the minute before it and at its",
        "  end, of which the benchmark itself is 1 to 2). So times are CPU times where not said otherwise, and",
        "  contenders take turns: ratios hold, single times may be high.",
        "- `goal` is what the project set itself; MISSED where it was not reached in this run.",
    ]
    RESULTS.write_text("\n".join(text) + "\n" + "".join(_parts()[1].values()))


def _parts() -> tuple[str, dict[str, str]]:
    """Gives what stands before the first section, and the sections by their titles."""
    marker = "\n## "
    head, *parts = RESULTS.read_text().split(marker)
    return head, {part.partition("\n")[0]: marker + part for part in parts}


def _text_of(section: Section) -> str:
    before, after = section.loads
    when = f" on {date.today().isoformat()}"
    circumstances = f"`{section.command}`{when}, {section.wall_s:.0f} s, load {before} before and {after} after."
    return f"\n## {section.title}\n\n{circumstances}\n\n{markdown(section.rows)}\n"
