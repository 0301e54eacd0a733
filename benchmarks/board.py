"""MLboard in a headless Chromium: a large run, a small one, one that goes on, and the pages of other trackers.

*CPU* is what the browser's renderers used, all their threads together; *wall* is what somebody waits, with whatever
else the machine does. The hub has the run in memory, as it has while somebody looks at it; `hub_read` measures how it
gets there. A chart counts when its curves are drawn as its axes are, the grey layer too. A value is live when it stands
in the page, counted from just before the driver's writer appends it to the log. Other trackers show the same number of
runs and points, as far as they took them within a minute. Needs Node, `make board`, and Debian's Chromium.

python board.py --produce LOG RUN     appends evaluations to a log; scripts/live.js says how many and how quickly
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from hub_read import evaluation, write_run
from mlgym.events import EvaluationResult, EventLog, MetricScore, Producer
from report import print_rows, verdict

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.server.service import free_port

ROOT = Path(__file__).parent.parent
RUN = "measured"
NUM_METRICS = 10
LIVE_METRIC = "val/metric_0"
SMALL = (15, 30)
PEER_RUNS, PEER_STEPS, PEER_FILL_S = 20, 100, 50.0
ACTIONS = {
    "flow": "table of experiments: until rows are there",
    "analysis": "10 charts: until all are drawn",
    "sort": "sort the table",
    "filter": "filter the table",
    "zoom": "zoom 10 charts: until all are drawn anew",
}
# Address and what has to be there: a selector, and after how many of it; a canvas counts when something is drawn on it.
PEER_PAGES: dict[str, dict[str, tuple[str, str, int] | str]] = {
    "MLboard": {
        "runs": (f"/?run_id={RUN}&page=flow", '[role="grid"] [data-kind="experiment"]', 9),
        "curves": (f"/?run_id={RUN}&page=analysis", '.uplot[data-state="sharp"]', 0),
    },
    "MLflow (SQLite)": {
        "runs": ("/#/experiments/1/runs", '[role="row"]', 5),
        "curves": ("/#/experiments/1/runs?compareRunsMode=CHART", ".js-plotly-plot .trace", 0),
    },
    "TensorBoard": {
        "runs": ("/#timeseries", "runs-data-table tb-data-table-content-row", 9),
        "curves": ("/#timeseries", "scalar-card tb-data-table-content-row", 0),
    },
    "Aim": {
        "runs": ("/runs", '[class*="Table__cell"] a, .RunNameColumn a', 5),
        "curves": "its page shows no curve before metrics are chosen by hand",
    },
    "trackio": {"runs": ("/", 'input[type="checkbox"]', 9), "curves": ("/", "canvas", 0)},
}


@contextmanager
def board_over(storage: Path) -> Iterator[str]:
    """Gives the address of `mlgym board` with the run in its memory."""
    port = free_port()
    command = [sys.executable, "-m", "mlgym", "board", "--storage", str(storage), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"the board ended with {process.returncode}")
            try:
                httpx.get(f"{address}/api/v1/runs/{RUN}/experiments", timeout=600).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


@contextmanager
def board_with(num_experiments: int, num_epochs: int) -> Iterator[tuple[str, Path]]:
    """Gives the address of a board over a run of ten metrics, and the run's log."""
    folder = Path(tempfile.mkdtemp(prefix=".board-", dir=Path(__file__).parent))
    try:
        write_run(folder, RUN, num_experiments, num_epochs, NUM_METRICS)
        with board_over(folder) as address:
            yield address, folder / RUN / "event_storage.log"
    finally:
        shutil.rmtree(folder)


def in_browser(script: str, *words: str) -> dict[str, Any]:
    """Gives what a script of the frontend measured.

    Raises:
        subprocess.CalledProcessError: it failed; what it said is in `stderr`.
    """
    command = ["node", f"scripts/{script}.js", *words]
    answer = subprocess.run(command, cwd=ROOT / "frontend", check=True, capture_output=True, text=True, timeout=300)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def rows_of(table: str, found: dict[str, Any], goals_ms: dict[str, float]) -> list[dict[str, Any]]:
    """Gives the rows of a table; goals are of wall time."""
    rows: list[dict[str, Any]] = []
    for name, what in ACTIONS.items():
        wall, cpu = found[name]["wall_ms"], found[name]["cpu_ms"]
        goal = verdict(wall, goals_ms[name], " ms wall") if name in goals_ms else ""
        rows.append({"table": table, "what": what, "wall": f"{wall:.0f} ms", "CPU": f"{cpu:.0f} ms", "goal": goal})
    first = f"{found['zoom']['first_ms']:.0f} ms"
    rows.append({"table": table, "what": "zoom 10 charts: until the first frame of it", "wall": first})
    scroll, total = found["scroll"], found["memory"]["private_mb"]
    shown = f"{scroll['frames_per_s']:.0f} frames/s, 95% within {scroll['p95_ms']:.0f} ms"
    cpu = f"{scroll['cpu_ms_per_frame']:.1f} ms a frame"
    rows.append({"table": table, "what": "scroll the table", "wall": shown, "CPU": cpu, "goal": fluid(scroll)})
    what = "memory of the page with 10 charts, its worker and its pictures"
    rows.append({"table": table, "what": what, "wall": f"{total:.0f} MB", "goal": verdict(total, 400, " MB")})
    return rows


def fluid(frames: dict[str, float]) -> str:
    """Gives whether frames came as quickly as a screen shows them, 60 a second, within what a clock tells."""
    return f"60 frames/s: {'met' if frames['frames_per_s'] >= 59.5 else 'MISSED'}"


def live_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Gives the rows of a run that goes on."""
    table, rows = "MLboard, 15 experiments that go on", []
    for name, what in (("cell", "a value in the table"), ("curve", "a point of a curve")):
        one = found[name]
        count = f"({one['seen']} of {one['of']} seen)"
        if one["seen"]:
            wall = f"median {one['median_ms']:.0f} ms, 95% within {one['p95_ms']:.0f} ms {count}"
        else:
            wall = f"never {count}"
        goal = verdict(one["p95_ms"] if one["seen"] == one["of"] else math.inf, 300, " ms for 95%")
        rows.append({"table": table, "what": f"{what}, from its append", "wall": wall, "goal": goal})
    for name, what in (("flow", "the table"), ("charts", "10 charts")):
        one = found[name]
        wall = f"{one['frames_per_s']:.0f} frames/s, 95% within {one['p95_ms']:.0f} ms"
        cpu = f"{100 * one['cpu_share']:.0f}% of a core"
        what = f"{what} while {one['events_per_s']:.0f} events/s come"
        rows.append({"table": table, "what": what, "wall": wall, "CPU": cpu, "goal": fluid(one)})
    return rows


def peer_rows(*, quick: bool) -> list[dict[str, Any]]:
    """Measures the pages of all trackers, until runs and until curves are there."""
    from tracking_read import filled, served

    found: dict[str, dict[str, Any]] = {}
    with board_with(PEER_RUNS, PEER_STEPS) as (address, _):
        found["MLboard"] = {"runs in it": PEER_RUNS} | shown("MLboard", address)
    if not quick:
        with filled(PEER_RUNS, PEER_STEPS, NUM_METRICS, PEER_FILL_S) as folders:
            for name, (folder, count) in folders.items():
                if name in PEER_PAGES:
                    with served(name, folder, 1000) as (client, _):
                        found[name] = {"runs in it": count} | answered(name, client)
    table = f"Pages of trackers with up to {PEER_RUNS} runs x {PEER_STEPS} steps x {NUM_METRICS} metrics"
    return [{"table": table, "tracker": name, **row} for name, row in found.items()]


def answered(name: str, client: httpx.Client) -> dict[str, Any]:
    """Gives what a tracker's page takes once its server answers."""
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        try:
            if client.get("/").is_success:
                return shown(name, str(client.base_url))
        except httpx.TransportError:
            time.sleep(0.2)
    return {"note": "its server did not answer within 60 s"}


def shown(name: str, address: str) -> dict[str, Any]:
    """Gives how long a tracker's pages take until they show something."""
    row: dict[str, Any] = {}
    for what, page in PEER_PAGES[name].items():
        if isinstance(page, str):
            row["note"] = page
            continue
        path, selector, nth = page
        try:
            found = in_browser("peer", address.rstrip("/") + path, selector, str(nth))
        except (subprocess.SubprocessError, json.JSONDecodeError):
            row["note"] = f"no {what} within 25 s"
            continue
        row |= {f"{what}, wall": f"{found['wall_ms']:.0f} ms", f"{what}, CPU": f"{found['cpu_ms']:.0f} ms"}
    return row


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Measures a run of 1,000 experiments, 1,000 epochs and 10 metrics, one of 15 experiments, and other trackers."""
    large = (100, 50) if quick else (1000, 1000)
    goals = {"flow": 1500.0, "analysis": 2500.0, "sort": 100.0, "filter": 100.0, "zoom": 100.0}
    title = f"MLboard, {large[0]:,} experiments, {large[1]:,} epochs, 10 metrics"
    with board_with(*large) as (address, _):
        found = rows_of(title, in_browser("measure", address, RUN), {} if quick else goals)
    with board_with(*SMALL) as (address, log):
        small = in_browser("measure", address, RUN)
        found += rows_of("MLboard, 15 experiments, 30 epochs", small, {} if quick else {"flow": 700.0})
        producer = [sys.executable, str(Path(__file__).resolve()), "--produce", str(log), RUN]
        found += live_rows(in_browser("live", address, RUN, LIVE_METRIC, "--", *producer))
    return found + peer_rows(quick=quick)


def produce(path: Path, run: str) -> None:
    """Appends evaluations as the driver's writer does, as many as lines of standard input say, and tells of each."""
    producer, value = Producer(), 0
    with EventLog.open(path) as log:
        for line in sys.stdin:
            count, gap_s = line.split()
            due = time.monotonic()
            for _ in range(int(count)):
                value += 1
                due += float(gap_s)
                time.sleep(max(0.0, due - time.monotonic()))
                at = time.time()
                log.append([producer.encode(counted(run, value))])
                sys.stdout.write(json.dumps({"value": value, "at": at}) + "\n")
                sys.stdout.flush()


def counted(run: str, value: int) -> EvaluationResult:
    """Gives an evaluation of the first experiment, after all that it has, whose first metric is a number of its own."""
    made = evaluation(run, 0, SMALL[1] + value, NUM_METRICS)
    scores = [MetricScore("metric_0", "val", float(value)), *made.metric_scores[1:]]
    return msgspec.structs.replace(made, metric_scores=scores)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    parser.add_argument("--produce", nargs=2, metavar=("LOG", "RUN"))
    given = parser.parse_args()
    if given.produce:
        produce(Path(given.produce[0]), given.produce[1])
    else:
        print_rows(rows(quick=given.quick))
