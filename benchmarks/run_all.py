"""Runs every benchmark and writes RESULTS.md."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from report import print_rows, write_results

TITLES = {
    "train_loop": "Training loop and start-up",
    "experiments": "Experiments in processes",
    "config": "Configs",
    "event_log": "Event log",
}


def main() -> None:
    """Measures one benchmark after the other, each in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few rounds, RESULTS.md is not written")
    parser.add_argument("names", nargs="*", default=list(TITLES), help="only these")
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    sections = {}
    for name in given.names:
        measured = importlib.import_module(name).rows(quick=given.quick)
        print_rows(measured)
        sections[TITLES[name]] = (f"python benchmarks/{name}.py", measured)
    if not given.quick and set(given.names) == set(TITLES):
        write_results(sections)


if __name__ == "__main__":
    main()
