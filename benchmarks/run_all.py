"""Runs every benchmark, or those that are named, and writes their sections of RESULTS.md."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

from report import Section, load, print_rows, write_head, write_section

TITLES = {
    "train_loop": "Training loop and start-up",
    "experiments": "Experiments in processes",
    "executors": "Ways to run experiments",
    "config": "Configs",
    "event_log": "Event log",
    "hub": "The hub: events in and out",
    "hub_read": "The hub: queries",
    "board": "MLboard in a browser",
    "chaos_hub": "The hub under kills",
    "tracking": "Tracking a loop",
    "tracking_read": "Reading what was tracked",
    "checkpoint": "Checkpoints and digests",
    "kill_matrix": "Kills at every moment",
    "reproduce_examples": "Experiments run again",
    "nested_cv": "Nested cross validation",
    "simulate_scale": "One driver, ten thousand experiments",
    "nested_cv_parity": "Nested cross validation and scikit-learn",
}


def main() -> None:
    """Measures one benchmark after the other, each in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few rounds, RESULTS.md is not written")
    parser.add_argument("names", nargs="*", default=list(TITLES), help="only these")
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    begun = time.perf_counter()
    for name in given.names:
        load_before, started = load(), time.perf_counter()
        measured = importlib.import_module(name).rows(quick=given.quick)
        wall_s = time.perf_counter() - started
        print_rows(measured)
        print(flush=True)
        if not given.quick:
            loads = (load_before, load())
            write_section(Section(TITLES[name], f"python benchmarks/{name}.py", measured, loads, wall_s))
    if not given.quick and set(given.names) == set(TITLES):
        write_head(time.perf_counter() - begun)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is imported
    main()
