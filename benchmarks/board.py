"""MLboard in a headless Chromium, over a large run and a small one.

*CPU* is what the browser's renderers used, all their threads together; *wall* is what somebody waits, with whatever
else the machine does. The hub has the run in memory, as it has while somebody looks at it; `hub_read` measures how it
gets there. Needs Node, `make board`, and Debian's Chromium.
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from hub_read import write_run
from report import print_rows, verdict

ROOT = Path(__file__).parent.parent
PORT = 8798
RUN = "measured"
ACTIONS = {
    "flow": "table of experiments: until rows are there",
    "analysis": "10 charts: until all are drawn",
    "sort": "sort the table",
    "filter": "filter the table",
    "zoom": "zoom 10 charts",
}


@contextmanager
def board_over(storage: Path) -> Iterator[str]:
    """Gives the address of `mlgym board` with the run in its memory."""
    command = [sys.executable, "-m", "mlgym", "board", "--storage", str(storage), "--port", str(PORT)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{PORT}"
    try:
        for _ in range(600):
            try:
                httpx.get(f"{address}/api/v1/runs/{RUN}/experiments", timeout=600).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


def measured(num_experiments: int, num_epochs: int) -> dict[str, Any]:
    """Gives what the browser measured over a run of ten metrics."""
    folder = Path(tempfile.mkdtemp(prefix=".board-", dir=Path(__file__).parent))
    try:
        write_run(folder, RUN, num_experiments, num_epochs, 10)
        with board_over(folder) as address:
            command = ["node", "scripts/measure.js", address, RUN]
            answer = subprocess.run(command, cwd=ROOT / "frontend", check=True, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(answer.stdout)
        return found
    finally:
        shutil.rmtree(folder)


def rows_of(table: str, found: dict[str, Any], goals_ms: dict[str, float]) -> list[dict[str, Any]]:
    """Gives the rows of a table; goals are of wall time."""
    rows: list[dict[str, Any]] = []
    for name, what in ACTIONS.items():
        wall, cpu = found[name]["wall_ms"], found[name]["cpu_ms"]
        goal = verdict(wall, goals_ms[name], " ms wall") if name in goals_ms else ""
        rows.append({"table": table, "what": what, "wall": f"{wall:.0f} ms", "CPU": f"{cpu:.0f} ms", "goal": goal})
    scroll, memory = found["scroll"], found["memory"]
    shown = f"{scroll['frames_per_s']:.0f} frames/s"
    cpu = f"{scroll['cpu_ms_per_frame']:.1f} ms a frame"
    rows.append({"table": table, "what": "scroll the table", "wall": shown, "CPU": cpu, "goal": ""})
    total = memory["heap_mb"] + memory["buffers_mb"]
    goal = verdict(total, 400, " MB")
    rows.append({"table": table, "what": "memory of the page with 10 charts", "wall": f"{total:.0f} MB", "goal": goal})
    return rows


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Measures a run of 1,000 experiments, 1,000 epochs and 10 metrics, and one of 15 experiments."""
    large = (100, 50) if quick else (1000, 1000)
    goals = {"flow": 1500.0, "analysis": 2500.0, "sort": 100.0, "filter": 100.0, "zoom": 100.0}
    title = f"MLboard, {large[0]:,} experiments, {large[1]:,} epochs, 10 metrics"
    found = rows_of(title, measured(*large), {} if quick else goals)
    return found + rows_of("MLboard, 15 experiments, 30 epochs", measured(15, 30), {} if quick else {"flow": 700.0})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    print_rows(rows(quick=parser.parse_args().quick))
