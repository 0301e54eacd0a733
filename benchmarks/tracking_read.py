"""Reading what was tracked, MLgym's hub beside the servers of its peers: start, list of runs, curves.

Each server is a process of its own over a folder beside this file, filled first (all trackers at once; filling is not
measured). Answers are timed at the client, over HTTP on this machine, reading JSON included; CPU is that of the server
and its children. The first answer is that which has all that was written, counted from the server's start. A tracker
that did not fill its folder within 75 s has fewer runs, as `runs` says, and so has MLflow where every point is asked
for, which takes it seconds a run. W&B offline has no server that reads its files.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from report import print_rows
from tracker_servers import SERVERS, Server
from tracking import FailedError, finish

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.server.service import free_port

NUM_METRICS = 10
_SCRIPT = Path(__file__).with_name("tracker_servers.py")
_FIRST_ANSWER_S = 60.0
_ROUNDS_S = 8.0
Ask = Callable[[Server, httpx.Client], tuple[int, int]]


@dataclass(frozen=True)
class Answer:
    """What came, and what it took."""

    count: int
    num_bytes: int
    wall_s: float
    cpu_s: float


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Measures all servers."""
    num_rounds, fill_s = (1, 20.0) if quick else (3, 75.0)
    found = start_rows(1 if quick else 2)
    found += latest_rows(20 if quick else 1000, num_rounds, fill_s)
    return found + curve_rows(5 if quick else 100, 10_000, num_rounds, fill_s)


def start_rows(num_rounds: int) -> list[dict[str, Any]]:
    """Measures how long a server takes until it lists a single run."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SERVERS}
    with filled(1, 5, NUM_METRICS, 60) as folders:
        for _ in range(num_rounds):
            for name, results in found.items():
                results.append(measured(name, folders[name][0], latest, NUM_METRICS, 0))
    return table(
        "Server start, until it lists a run with 10 values",
        {name: results[-1] if "note" in results[-1] else medians(results) for name, results in found.items()},
    )


def latest_rows(num_runs: int, num_rounds: int, fill_s: float) -> list[dict[str, Any]]:
    """Measures the list of many runs with the latest values of ten metrics."""
    with filled(num_runs, 5, NUM_METRICS, fill_s) as folders:
        found = {
            name: {"runs": count} | measured(name, folder, latest, NUM_METRICS * count, num_rounds)
            for name, (folder, count) in folders.items()
        }
    return table(f"Listing {num_runs:,} runs with 10 latest values each", found)


def curve_rows(num_runs: int, num_steps: int, num_rounds: int, fill_s: float) -> list[dict[str, Any]]:
    """Measures one metric of many runs, thinned and whole."""
    found = []
    with filled(num_runs, num_steps, 1, fill_s) as folders:
        for title, num_points in (("thinned to about 1,000 each", 1000), ("every point", num_steps)):
            of_title = {}
            for name, (folder, filled_with) in folders.items():
                count = min(filled_with, SERVERS[name].max_runs_whole) if num_points == num_steps else filled_with
                # Peers thin each in its own way, to more or fewer than they are asked for.
                whole = count * num_points if num_points == num_steps else count * num_points // 2
                taken = measured(name, folder, curves_of(num_points), whole, num_rounds, num_points)
                of_title[name] = {"runs": count} | taken
            found += table(f"One metric of {num_runs} runs x {num_steps:,} points, {title}", of_title)
    return found


def latest(server: Server, client: httpx.Client) -> tuple[int, int]:
    return server.latest(client)


def curves_of(num_points: int) -> Ask:
    return lambda server, client: server.curves(client, num_points)


def measured(name: str, folder: Path, ask: Ask, whole: int, num_rounds: int, num_points: int = 1000) -> dict[str, Any]:
    """Gives what the first whole answer after the start takes, and what later ones do."""
    server, again = SERVERS[name](), []
    try:
        with served(name, folder, num_points) as (client, cpu_s):
            first = first_answer(server, client, cpu_s, ask, whole)
            give_up_at = time.monotonic() + _ROUNDS_S
            while len(again) < num_rounds and time.monotonic() < give_up_at:
                again.append(answer_of(server, client, cpu_s, ask))
    except (FailedError, httpx.HTTPError) as error:
        return {"note": str(error)[:160].replace("|", "/")}
    row = {"s from start to answer": round(first.wall_s, 2), "s CPU": round(first.cpu_s, 2)}
    if again:
        row["s again"] = round(statistics.median(one.wall_s for one in again), 3)
        row["s CPU again"] = round(statistics.median(one.cpu_s for one in again), 3)
        row |= {"values": first.count, "MB": round(first.num_bytes / 1e6, 1)}
    return row


def first_answer(server: Server, client: httpx.Client, cpu_s: Callable[[], float], ask: Ask, whole: int) -> Answer:
    """Asks until everything is there; times count from the start of the server.

    Raises:
        FailedError: it does not come.
    """
    began, said = time.perf_counter(), "no answer"
    while time.perf_counter() - began < _FIRST_ANSWER_S:
        try:
            count, num_bytes = ask(server, client)
            if count >= whole:
                return Answer(count, num_bytes, time.perf_counter() - began, cpu_s())
            said = f"{count:,} of {whole:,} values"
        except httpx.TransportError:
            pass
        except httpx.HTTPStatusError as error:
            said = f"{error.response.status_code} for {error.request.url.path}"
        time.sleep(0.02)
    raise FailedError(f"what it has could not be read within {_FIRST_ANSWER_S:g} s: {said}")


def answer_of(server: Server, client: httpx.Client, cpu_s: Callable[[], float], ask: Ask) -> Answer:
    wall, cpu = time.perf_counter(), cpu_s()
    count, num_bytes = ask(server, client)
    return Answer(count, num_bytes, time.perf_counter() - wall, cpu_s() - cpu)


@contextmanager
def served(name: str, folder: Path, num_points: int) -> Iterator[tuple[httpx.Client, Callable[[], float]]]:
    """Starts a server and gives a client of it and its CPU time; ends it with all its children."""
    port = free_port()
    command = [sys.executable, *SERVERS[name].command(folder, port, num_points)]
    environment = {**os.environ, **SERVERS[name].environment(folder)}
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=_FIRST_ANSWER_S) as client:
            yield client, lambda: cpu_of(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def cpu_of(pid: int) -> float:
    """Gives the CPU time of a process and all that it started, in s."""
    root, total = psutil.Process(pid), 0.0
    for one in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # then its parent has its time, below `children`
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@contextmanager
def filled(num_runs: int, num_steps: int, num_metrics: int, seconds: float) -> Iterator[dict[str, tuple[Path, int]]]:
    """Gives a folder of each tracker that could write, and how many runs are in it."""
    scratch = Path(tempfile.mkdtemp(prefix=".tracking_read-", dir=Path(__file__).parent))
    sizes = [str(size) for size in (num_runs, num_steps, num_metrics, seconds)]
    processes: dict[str, tuple[Path, subprocess.Popen[str]]] = {}
    try:
        for number, name in enumerate(SERVERS):
            folder = scratch / str(number)
            folder.mkdir()
            processes[name] = folder, subprocess.Popen(
                [sys.executable, str(_SCRIPT), name, str(folder), *sizes],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
            )  # fmt: skip
        yield {name: (folder, finish(process)["count"]) for name, (folder, process) in processes.items()}
    finally:
        for _, process in processes.values():
            process.kill()
            process.wait()
        shutil.rmtree(scratch, ignore_errors=True)


def medians(results: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: round(statistics.median(one[key] for one in results), 2) for key in results[-1]}


def table(title: str, by_tracker: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    found = [{"table": title, "tracker": name, **row} for name, row in by_tracker.items()]
    return [*found, {"table": title, "tracker": "W&B offline", "note": "has no server that reads its files"}]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print_rows(rows(quick=parser.parse_args().quick))
