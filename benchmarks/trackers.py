"""How each tracker logs a number and what it has afterwards; `tracking.py` runs this file, a process per measurement.

python trackers.py TOOL cost FOLDER SECONDS     prints the cost of one logged number, in microseconds
python trackers.py TOOL many FOLDER SECONDS     waits for a line on stdin, logs, ends, prints how many numbers
python trackers.py TOOL killed FOLDER 0         logs for ever and tells each number on stdout, to be killed
python trackers.py TOOL count FOLDER 0          prints how many numbers can be read back
"""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

METRIC = "train/loss"


class Tracker(ABC):
    """A tracker, in the way in which its own documentation shows it first."""

    @staticmethod
    def prepare(folder: Path) -> None:
        """Makes what processes that start at the same moment would make twice."""
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def start(self, folder: Path) -> Callable[[int, float], Any]:
        """Starts a run and gives what logs one number, by step and value."""

    @abstractmethod
    def finish(self) -> None:
        """Ends the run, with everything stored."""

    @staticmethod
    @abstractmethod
    def count(folder: Path) -> int:
        """Gives how many numbers can be read back."""


class Mlgym(Tracker):
    """`mlgym.track`, to a hub too where `HUB` says so."""

    def start(self, folder: Path) -> Callable[[int, float], Any]:
        import mlgym

        hubs = [os.environ["HUB"]] if "HUB" in os.environ else []
        self.run = mlgym.track("benchmark", storage=folder, websocket_logging_servers=hubs)
        log = self.run.log
        return lambda step, value: log({METRIC: value}, step=step)

    def finish(self) -> None:
        self.run.finish()

    @staticmethod
    def count(folder: Path) -> int:
        from mlgym.tracking import list_runs

        return sum(
            logged.event["event_type"] == "evaluation_result" for run in list_runs(folder) for logged in run.events()
        )


class Mlflow(Tracker):
    """MLflow with a SQLite file."""

    @staticmethod
    def _use(folder: Path) -> Any:
        import mlflow

        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        return mlflow

    @staticmethod
    def prepare(folder: Path) -> None:
        Mlflow._use(folder).set_experiment("benchmark")

    def start(self, folder: Path) -> Callable[[int, float], Any]:
        self.mlflow = self._use(folder)
        self.mlflow.set_experiment("benchmark")
        self.mlflow.start_run()
        log = self.mlflow.log_metric
        return lambda step, value: log(METRIC, value, step=step)

    def finish(self) -> None:
        self.mlflow.end_run()

    @staticmethod
    def count(folder: Path) -> int:
        return rows_of(folder / "mlflow.db", "metrics")


class Aim(Tracker):
    """Aim with a repository in a folder."""

    @staticmethod
    def prepare(folder: Path) -> None:
        from aim import Repo

        Repo.from_path(str(folder), init=True)

    def start(self, folder: Path) -> Callable[[int, float], Any]:
        from aim import Run

        self.run = Run(repo=str(folder), system_tracking_interval=None, capture_terminal_logs=False)
        track = self.run.track
        return lambda step, value: track(value, name=METRIC, step=step)

    def finish(self) -> None:
        self.run.close()

    @staticmethod
    def count(folder: Path) -> int:
        from aim import Repo

        repo = Repo.from_path(str(folder))
        count = sum(len(metric.values) for run in repo.iter_runs() for metric in run.metrics())
        if not count:
            # Seen with 3.29.1 beside newer versions of what it depends on: nothing is known then, least of all a loss.
            raise RuntimeError("its numbers could not be read back in this environment")
        return count


class Tensorboard(Tracker):
    """PyTorch's `SummaryWriter`."""

    def start(self, folder: Path) -> Callable[[int, float], Any]:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / str(os.getpid())))
        add = self.writer.add_scalar
        return lambda step, value: add(METRIC, value, step)

    def finish(self) -> None:
        self.writer.close()

    @staticmethod
    def count(folder: Path) -> int:
        from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

        count = 0
        for path in folder.iterdir():
            read = EventAccumulator(str(path), size_guidance={SCALARS: 0})
            read.Reload()
            count += len(read.Scalars(METRIC)) if METRIC in read.Tags()[SCALARS] else 0
        return count


class Trackio(Tracker):
    """trackio with its local server."""

    def start(self, folder: Path) -> Callable[[int, float], Any]:
        os.environ["TRACKIO_DIR"] = str(folder)
        import trackio

        self.trackio = trackio
        trackio.init(project="benchmark", name=f"run-{os.getpid()}", embed=False)
        log = trackio.log
        return lambda step, value: log({METRIC: value}, step=step)

    def finish(self) -> None:
        self.trackio.finish()

    @staticmethod
    def count(folder: Path) -> int:
        return sum(rows_of(path, "metrics") for path in folder.rglob("*.db"))


class Wandb(Tracker):
    """W&B without a network."""

    def start(self, folder: Path) -> Callable[[int, float], Any]:
        os.environ["WANDB_SILENT"] = "true"
        import wandb

        self.run = wandb.init(project="benchmark", mode="offline", dir=str(folder))
        log = self.run.log
        return lambda step, value: log({METRIC: value}, step=step)

    def finish(self) -> None:
        self.run.finish()

    @staticmethod
    def count(folder: Path) -> int:
        from wandb.proto.wandb_internal_pb2 import Record

        count = 0
        for path in folder.rglob("*.wandb"):
            for data in wandb_records(path.read_bytes()):
                record = Record()
                record.ParseFromString(data)
                count += any(METRIC in (item.key, *item.nested_key) for item in record.history.item)
        return count


def wandb_records(data: bytes) -> Iterator[bytes]:
    """Yields what stands in a file of W&B up to where it is torn: records in LevelDB's log format after 7 bytes."""
    position, parts = 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        piece = data[position + 7 : position + 7 + length]
        if not kind or len(piece) < length:
            return
        position += 7 + length
        parts = piece if kind in (1, 2) else parts + piece
        if kind in (1, 4):  # whole, or the last part
            yield parts


TRACKERS: dict[str, type[Tracker]] = {
    "MLgym": Mlgym,
    "MLgym with a hub": Mlgym,
    "MLflow (SQLite)": Mlflow,
    "Aim": Aim,
    "TensorBoard": Tensorboard,
    "trackio": Trackio,
    "W&B offline": Wandb,
}


def rows_of(path: Path, table: str) -> int:
    with sqlite3.connect(path) as database:
        return int(database.execute(f"select count(*) from {table}").fetchone()[0])


def cost(tracker: Tracker, folder: Path, seconds: float) -> dict[str, Any]:
    """Gives the cost of one number to the process that logs it, waiting for nothing and with the end of the run."""
    tracker.prepare(folder)
    log = tracker.start(folder)
    for step in range(100):
        log(step, 0.5)
    wall, cpu = time.perf_counter(), time.process_time()
    step, give_up_at = 100, wall + seconds
    while time.perf_counter() < give_up_at:
        for _ in range(20):
            step += 1
            log(step, 1.0 / step)
    count = step - 100
    logged = {"wall": (time.perf_counter() - wall) / count * 1e6, "cpu": (time.process_time() - cpu) / count * 1e6}
    tracker.finish()
    return {"count": count, **logged, "with_end": (time.perf_counter() - wall) / count * 1e6}


def many(tracker: Tracker, folder: Path, seconds: float) -> dict[str, Any]:
    """Logs for some seconds, beginning when it is told to."""
    log = tracker.start(folder)
    log(0, 0.5)
    print("ready", flush=True)
    sys.stdin.readline()
    step, give_up_at = 0, time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        for _ in range(20):
            step += 1
            log(step, 1.0 / step)
    tracker.finish()
    return {"count": step, "ended_at": time.monotonic()}


def killed(tracker: Tracker, folder: Path, _: float) -> dict[str, Any]:
    """Logs for ever at a pace that every tracker can hold, and tells each number once the tracker has it."""
    tracker.prepare(folder)
    log = tracker.start(folder)
    step = 0
    while True:
        log(step, 1.0 / (step + 1))
        os.write(1, b".")
        step += 1
        time.sleep(0.001)


def count(tracker: Tracker, folder: Path, _: float) -> dict[str, Any]:
    """Gives how many numbers can be read back."""
    return {"count": tracker.count(folder)}


def main() -> None:
    """Does one measurement and prints it as JSON, the last line of what it prints."""
    _, name, what, folder, seconds = sys.argv
    measure = {"cost": cost, "many": many, "killed": killed, "count": count}[what]
    tracker = TRACKERS[name]()
    print("\n" + json.dumps(measure(tracker, Path(folder), float(seconds))), flush=True)


if __name__ == "__main__":
    main()
