"""What tracking costs a training loop, MLgym beside its peers: time per number, many processes at once, a kill.

Each measurement is a process of its own with an empty folder beside this file, whatever disk that is. Peers are used as
their documentation shows it first; one that is not installed, or fails, is named as such. Costs are medians of rounds
in which trackers take turns; the goal is on CPU time, which a busy machine stretches least.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from report import print_rows, verdict
from scratch import scratch
from trackers import TRACKERS

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.server.service import ALL, Service

GOAL_US = 5.0
GOAL_POINTS_PER_S = 50_000
NUM_PROCESSES = 8
HUB = "MLgym with a hub"
_SCRIPT = Path(__file__).with_name("trackers.py")
_TIMEOUT_S = 180.0


class FailedError(Exception):
    """A tracker that could not be measured; the text says why."""


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Measures all trackers."""
    seconds, num_rounds = (1.0, 1) if quick else (3.0, 3)
    found = {
        "Time per logged number": costs,
        "Eight processes at once": crowds,
        "Lost when the process is killed": kills,
    }
    measured = []
    for table, measure in found.items():
        by_tool: dict[str, list[dict[str, Any]]] = {name: [] for name in TRACKERS}
        for _ in range(num_rounds if measure is costs else 1):
            for name, results in by_tool.items():
                if not results or "error" not in results[-1]:
                    results.append(attempt(measure, name, seconds))
        for name, results in by_tool.items():
            measured.append({"table": table, "tracker": name, **summary(results)})
    return measured


def attempt(measure: Any, name: str, seconds: float) -> dict[str, Any]:
    with scratch() as folder:
        try:
            return dict(measure(name, folder, seconds))
        except FailedError as error:
            return {"error": str(error)}


def costs(name: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Gives what one number costs where each comes with a call of its own."""
    with hub_for(name, folder):
        found = finish(start(name, "cost", folder / "runs", seconds))
    return {
        "CPU us": round(found["cpu"], 1),
        "us waited for": round(found["wall"], 1),
        "us with the end of the run": round(found["with_end"], 1),
        **({"goal": verdict(found["cpu"], GOAL_US, " us")} if name.startswith("MLgym") else {}),
    }


def crowds(name: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Gives how many numbers a second processes store together, until all of them have ended."""
    runs = folder / "runs"
    with hub_for(name, folder):
        prepare(name, runs)
        processes = [start(name, "many", runs, seconds) for _ in range(NUM_PROCESSES)]
        try:
            for process in processes:
                await_ready(process)
            began = time.monotonic()
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            ended = [finish(process) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        took_s = max(one["ended_at"] for one in ended) - began
        logged = sum(one["count"] + 1 for one in ended)
    there = finish(start(name, "count", runs, 0.0))["count"]
    rate = round(there / took_s)
    return {
        "numbers per s": rate,
        "missing afterwards": logged - there,
        **({"goal": verdict(-rate, -GOAL_POINTS_PER_S).replace("<= -", ">= ")} if name == "MLgym" else {}),
    }


def kills(name: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Gives how many numbers are gone after SIGKILL, of those for which the call had returned."""
    with hub_for(name, folder):
        process = start(name, "killed", folder / "runs", 0.0)
        assert process.stdout is not None
        told = len(read_dots(process, seconds))
        process.send_signal(signal.SIGKILL)
        told += process.communicate()[0].count(".")
    there = finish(start(name, "count", folder / "runs", 0.0))["count"]
    lost = max(0, told - there)
    return {
        "logged": told,
        "lost": lost,
        "share": f"{lost / max(1, told):.1%}",
        **({"goal": verdict(lost, 0)} if name.startswith("MLgym") else {}),
    }


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Gives the medians of the rounds, and whatever else the last one says."""
    if "error" in results[-1]:
        return {"note": results[-1]["error"]}
    last = results[-1]
    medians = {
        key: statistics.median(one[key] for one in results) for key, value in last.items() if not isinstance(value, str)
    }
    return {key: medians.get(key, value) for key, value in last.items()}


def start(name: str, what: str, folder: Path, seconds: float) -> subprocess.Popen[str]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(_SCRIPT), name, what, str(folder), str(seconds)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Gives what a measurement printed.

    Raises:
        FailedError: it failed; the text has the last line of its error.
    """
    try:
        out, err = process.communicate(timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise FailedError(f"did not end within {_TIMEOUT_S:g} s") from None
    if process.returncode:
        raise FailedError(reason(err))
    return dict(json.loads(out.strip().splitlines()[-1]))


def reason(err: str) -> str:
    last = err.strip().splitlines()[-1] if err.strip() else "no reason given"
    return "not installed" if last.startswith("ModuleNotFoundError") else last[:160].replace("|", "/")


def prepare(name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    code = f"import trackers, pathlib; trackers.TRACKERS[{name!r}].prepare(pathlib.Path({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=_SCRIPT.parent, capture_output=True, text=True)
    if done.returncode:
        raise FailedError(reason(done.stderr))


def await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "ready":
            return
    finish(process)
    raise FailedError("ended before it had begun")


def read_dots(process: subprocess.Popen[str], seconds: float) -> str:
    """Gives the dots that come within some seconds from the first one on."""
    assert process.stdout is not None
    dots = ""
    while not dots:
        piece = os.read(process.stdout.fileno(), 4096).decode(errors="replace")
        if not piece:
            finish(process)
        dots = "." * piece.count(".") if piece.strip(".") == "" else ""
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        dots += "." * os.read(process.stdout.fileno(), 4096).decode(errors="replace").count(".")
    return dots


@contextmanager
def hub_for(name: str, folder: Path) -> Iterator[None]:
    """Runs a hub where the tracker is measured with one."""
    if name != HUB:
        with nullcontext():
            yield
        return
    with Service(folder / "hub", program=ALL) as hub:
        os.environ["HUB"] = hub.url
        try:
            yield
        finally:
            del os.environ["HUB"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print_rows(rows(quick=parser.parse_args().quick))
