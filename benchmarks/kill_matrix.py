"""SIGKILL at every enumerated moment of small experiments: is what comes out what comes out undisturbed?

Five model families (dropout, batch norm, embeddings, recurrent, attention) with random augmentation, gradient
accumulation and a scheduler per step; samples read here or by two workers; checkpoints written beside training or
waited for by callbacks. A point is a kill, or two, at a moment that was counted in an undisturbed run; afterwards the
experiment goes on to its end. Weights, optimizer, generators, results and files must be those of the undisturbed one.
At every other point the last events are lost too, as where the driver dies with its worker.
Two controls take a protection away and must fail.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import print_rows

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.integration.kill_matrix.attempts import warm
from tests.integration.kill_matrix.families import FAMILIES
from tests.integration.kill_matrix.matrix import (
    Row,
    Setting,
    Verdict,
    without_generators,
    written_in_place,
)

WAYS = ((0, False), (0, True), (2, False))
CONTROLS = {"without generator states": without_generators, "written in place": written_in_place}


def settings() -> list[Setting]:
    """Gives the rows of the whole matrix."""
    return [Setting(family, workers, waits) for workers, waits in WAYS for family in FAMILIES]


def verdicts(setting: Setting, folder: Path, *, quick: bool) -> Iterator[Verdict]:
    """Kills one setting at each of its points."""
    row = Row(setting, folder)
    points = [*row.points(), *row.points_in_resume()]
    for number, point in enumerate(points[:: 20 if quick else 1]):
        yield row.verdict(point)
        if sys.stderr.isatty():
            print(f"\r{setting}: {number + 1}/{len(points)}", end="", file=sys.stderr, flush=True)


def control(name: str, folder: Path, *, quick: bool) -> list[Verdict]:
    """Kills one setting without a protection."""
    row = Row(Setting("mlp", synchronous=name == "written in place"), folder, CONTROLS[name])
    points = row.points()
    return [row.verdict(point) for point in points[:: 12 if quick else 3]]


def _counts(found: list[Verdict]) -> dict[str, Any]:
    return {
        "kills": sum(len(one.point.kills) for one in found),
        "points": len(found),
        "identical": sum(one.identical for one in found),
        "unresumable": sum(one.unresumable for one in found),
    }


def _by_phase(found: list[Verdict]) -> list[dict[str, Any]]:
    return [
        {"table": "By phase", "phase": phase} | _counts([one for one in found if one.point.phase == phase])
        for phase in dict.fromkeys(one.point.phase for one in found)
    ]


def measure(*, quick: bool) -> tuple[list[dict[str, Any]], list[Verdict], bool]:
    """Gives the rows of the tables, the verdicts that should not be, and whether every control failed as it must."""
    warm()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="kill-matrix-"))
    found: list[Verdict] = []
    tables: list[dict[str, Any]] = []
    try:
        for setting in settings():
            of_setting = list(verdicts(setting, folder / "row", quick=quick))
            found += of_setting
            row = {
                "table": "By family",
                "family": setting.family,
                "loader workers": setting.num_workers,
                "checkpoints": "training waits" if setting.synchronous else "beside training",
                **_counts(of_setting),
            }
            tables.append(row)
            print(f"\r{setting}: {_counts(of_setting)}", file=sys.stderr, flush=True)
        total = {"table": "By family", "family": "all", **_counts(found)}
        total["s per kill"] = f"{(time.monotonic() - started) / total['kills']:.2f}"
        tables += [total, *_by_phase(found)]
        controls_fail = True
        for name in CONTROLS:
            of_control = control(name, folder / "control", quick=quick)
            tables.append({"table": "Controls that must fail", "without": name, **_counts(of_control)})
            controls_fail &= any(not one.identical or one.unresumable for one in of_control)
    finally:
        shutil.rmtree(folder)
    return tables, [one for one in found if not one.identical or one.unresumable], controls_fail


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives all results, one dict a row; `table` says which rows belong together.

    Raises:
        CalledProcessError: something else came out than undisturbed, or a control did not fail.
    """
    # Each attempt is a fork, which is safe only from a process that has no threads of other benchmarks.
    command = [sys.executable, __file__, "--json", *(["--quick"] if quick else [])]
    tables: list[dict[str, Any]] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return tables


def main() -> int:
    """Prints the tables; exit code 1 where a point or a control is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every twentieth point")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    given = parser.parse_args()
    tables, failures, controls_fail = measure(quick=given.quick)
    if given.json:
        print(json.dumps(tables, indent=1))
    else:
        print_rows(tables)
    for failure in failures:
        print(failure, file=sys.stderr)
    if not controls_fail:
        print("a control did not fail: the matrix cannot see what it looks for", file=sys.stderr)
    return 1 if failures or not controls_fail else 0


if __name__ == "__main__":
    sys.exit(main())
