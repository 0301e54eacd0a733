"""Nested cross validation by MLgym and by scikit-learn: is every number the same, by `==`?

Each case is searched with `GridSearchCV` inside of a loop over outer folds, and by MLgym in several processes with the
competitors of each outer fold in random order. Compared are the rows of each outer fold, the whole table of inner
scores, the winners, and the outer scores.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.integration.parity.cases import CASES, Case, by_mlgym, by_scikit_learn, one_thread, shuffled_order

NUM_PROCESSES = 3


def row(name: str, case: Case, folder: Path) -> dict[str, Any]:
    """Gives the row of one case."""
    with one_thread(), shuffled_order(len(name)):
        expected = by_scikit_learn(case)
        started = time.perf_counter()
        found = by_mlgym(case, folder, processes=NUM_PROCESSES)
        wall_s = time.perf_counter() - started
    parts = {
        field.name: getattr(found, field.name) == getattr(expected, field.name) for field in dataclasses.fields(found)
    }
    num_scores = sum(len(scores) for table in expected.inner for scores in table)
    equal = "met" if all(parts.values()) else "MISSED: " + ", ".join(name for name, same in parts.items() if not same)
    return {
        "table": "The same by `==`",
        "case": name,
        "outer folds": len(expected.outer),
        "inner scores": num_scores,
        "different winners": len({str(winner) for winner in expected.winners}),
        "outer scores": f"{min(expected.outer):.3f} - {max(expected.outer):.3f}",
        "wall s": f"{wall_s:.1f}",
        "goal": f"all equal: {equal}",
    }


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives a row for each case."""
    cases = dict(list(CASES.items())[:1]) if quick else CASES
    with tempfile.TemporaryDirectory() as folder:
        return [row(name, case, Path(folder) / str(place)) for place, (name, case) in enumerate(cases.items())]


if __name__ == "__main__":
    from report import print_rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the first case")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print_rows(rows(quick=parser.parse_args().quick))
