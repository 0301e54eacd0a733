"""How each tracker's server is filled, started and asked; `tracking_read.py` measures with it.

python tracker_servers.py TOOL FOLDER RUNS STEPS METRICS SECONDS     fills a folder, prints how many runs are in it

Runs are written in bulk, by the quickest way that a tracker offers, and read over HTTP, by the requests that its own
board makes where there are several.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

METRIC = "metric_0"
PROJECT = "benchmark"


def value_of(run: int, step: int, metric: int) -> float:
    return 1.0 / (1 + run + step) + metric


class Server(ABC):
    """A tracker with a server."""

    max_runs_whole = 1_000_000

    @staticmethod
    def environment(folder: Path) -> dict[str, str]:
        return {}

    @staticmethod
    @abstractmethod
    def fill(folder: Path, num_runs: int, num_steps: int, num_metrics: int, give_up_at: float) -> int:
        """Writes runs until there are enough or it is too late; gives how many there are."""

    @staticmethod
    @abstractmethod
    def command(folder: Path, port: int, num_points: int) -> list[str]:
        """Gives what starts the server, after `python`; a curve is to have at most so many points."""

    @abstractmethod
    def latest(self, client: httpx.Client) -> tuple[int, int]:
        """Asks for all runs with their latest values; gives how many values and bytes came."""

    @abstractmethod
    def curves(self, client: httpx.Client, num_points: int) -> tuple[int, int]:
        """Asks for a metric of all runs; gives how many points and bytes came."""


class Mlgym(Server):
    """The hub of `mlgym board`. One run is a list of experiments, so that curves are those of 100 experiments."""

    @staticmethod
    def fill(folder: Path, num_runs: int, num_steps: int, num_metrics: int, give_up_at: float) -> int:
        from hub_read import RUN_ID, write_run

        if num_metrics == 1:
            write_run(folder, RUN_ID, num_runs, num_steps, 1)
            return num_runs
        for number in range(num_runs):
            write_run(folder, f"run-{number:04}", 1, num_steps, num_metrics)
        return num_runs

    @staticmethod
    def command(folder: Path, port: int, num_points: int) -> list[str]:
        return ["-m", "mlgym", "board", "--storage", str(folder), "--port", str(port)]

    def latest(self, client: httpx.Client) -> tuple[int, int]:
        answer = asked(client.get("/api/v1/runs", params={"limit": 1000}))
        return answer.text.count('"latest":'), len(answer.content)

    def curves(self, client: httpx.Client, num_points: int) -> tuple[int, int]:
        from hub_read import RUN_ID
        from mlgym.server.api.curves import MAGIC

        body = {"keys": ["val/cross_entropy"], "points": num_points, "format": "binary"}
        answer = asked(client.post(f"/api/v1/runs/{RUN_ID}/metrics", json=body))
        _, header_size = struct.unpack_from("<II", answer.content, len(MAGIC))
        header = len(MAGIC) + 8 + header_size
        # Behind it a point is an epoch, a step, a time and a value, of 8 bytes each.
        return (len(answer.content) - header) // 32, len(answer.content)


class Mlflow(Server):
    """MLflow with a SQLite file."""

    max_runs_whole = 2  # each takes seconds

    @staticmethod
    def fill(folder: Path, num_runs: int, num_steps: int, num_metrics: int, give_up_at: float) -> int:
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
        experiment, now = client.create_experiment(PROJECT), int(time.time() * 1000)
        for run in range(num_runs):
            if time.monotonic() > give_up_at:
                return run
            run_id = client.create_run(experiment).info.run_id
            points = [
                Metric(f"metric_{metric}", value_of(run, step, metric), now, step)
                for step in range(num_steps)
                for metric in range(num_metrics)
            ]
            for first in range(0, len(points), 1000):  # as many as a batch may have
                client.log_batch(run_id, metrics=points[first : first + 1000])
        return num_runs

    @staticmethod
    def command(folder: Path, port: int, num_points: int) -> list[str]:
        return ["-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--port", str(port)]

    def _runs(self, client: httpx.Client) -> tuple[list[dict[str, Any]], int]:
        named = asked(client.get("/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": PROJECT}))
        body = {"experiment_ids": [named.json()["experiment"]["experiment_id"]], "max_results": 1000}
        answer = asked(client.post("/api/2.0/mlflow/runs/search", json=body))
        return answer.json().get("runs", []), len(answer.content)

    def latest(self, client: httpx.Client) -> tuple[int, int]:
        runs, size = self._runs(client)
        self.run_ids = [run["info"]["run_id"] for run in runs]
        return sum(len(run["data"].get("metrics", [])) for run in runs), size

    def curves(self, client: httpx.Client, num_points: int) -> tuple[int, int]:
        if not hasattr(self, "run_ids"):
            self.latest(client)
        if num_points <= 2500:  # of each run, which is all that this request gives
            query = {"run_ids": self.run_ids, "metric_key": METRIC, "max_results": num_points}
            answers = [asked(client.get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", params=query))]
        else:
            path, key = "/api/2.0/mlflow/metrics/get-history", {"metric_key": METRIC}
            answers = [
                asked(client.get(path, params={"run_id": run_id, **key}))
                for run_id in self.run_ids[: self.max_runs_whole]
            ]
        return sum(len(one.json()["metrics"]) for one in answers), sum(len(one.content) for one in answers)


class Tensorboard(Server):
    """TensorBoard with its fast loader, where that is installed."""

    @staticmethod
    def fill(folder: Path, num_runs: int, num_steps: int, num_metrics: int, give_up_at: float) -> int:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        for run in range(num_runs):
            if time.monotonic() > give_up_at:
                return run
            writer = EventFileWriter(str(folder / f"run-{run:04}"), max_queue_size=1000)
            for step in range(num_steps):
                values = [
                    Summary.Value(tag=f"metric_{metric}", simple_value=value_of(run, step, metric))
                    for metric in range(num_metrics)
                ]
                writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
            writer.close()
        return num_runs

    @staticmethod
    def command(folder: Path, port: int, num_points: int) -> list[str]:
        kept = f"scalars={num_points}"  # 1,000 unless said, and no request gives more
        return ["-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port), "--samples_per_plugin", kept]

    def latest(self, client: httpx.Client) -> tuple[int, int]:
        tags = asked(client.get("/data/plugin/scalars/tags"))
        names = sorted({name for of_run in tags.json().values() for name in of_run})
        count, size = 0, len(tags.content)
        for name in names:
            answer = self._multirun(client, name, list(tags.json()))
            count += sum(bool(points) for points in answer.json().values())
            size += len(answer.content)
        return count, size

    def curves(self, client: httpx.Client, num_points: int) -> tuple[int, int]:
        runs = list(asked(client.get("/data/plugin/scalars/tags")).json())
        answer = self._multirun(client, METRIC, runs) if runs else None
        return (sum(map(len, answer.json().values())), len(answer.content)) if answer else (0, 0)

    @staticmethod
    def _multirun(client: httpx.Client, tag: str, runs: list[str]) -> httpx.Response:
        return asked(client.post("/data/plugin/scalars/scalars_multirun", data={"tag": tag, "runs": runs}))


class Aim(Server):
    """Aim with a repository in a folder."""

    @staticmethod
    def fill(folder: Path, num_runs: int, num_steps: int, num_metrics: int, give_up_at: float) -> int:
        from aim import Repo, Run

        Repo.from_path(str(folder), init=True)
        for number in range(num_runs):
            if time.monotonic() > give_up_at:
                return number
            run = Run(repo=str(folder), system_tracking_interval=None, capture_terminal_logs=False)
            for step in range(num_steps):
                for metric in range(num_metrics):
                    run.track(value_of(number, step, metric), name=f"metric_{metric}", step=step)
            run.close()
        return num_runs

    @staticmethod
    def command(folder: Path, port: int, num_points: int) -> list[str]:
        code = "import sys; from aim.cli.cli import cli_entry_point; sys.exit(cli_entry_point())"
        return ["-c", code, "up", "--repo", str(folder), "--port", str(port), "--yes"]

    def latest(self, client: httpx.Client) -> tuple[int, int]:
        answer = asked(client.get("/api/runs/search/run/", params={"report_progress": False, "exclude_params": True}))
        return sum("last" in path for path, _ in aim_tree(answer.content)), len(answer.content)

    def curves(self, client: httpx.Client, num_points: int) -> tuple[int, int]:
        query = {"q": f'metric.name == "{METRIC}"', "p": num_points, "report_progress": False}
        answer = asked(client.get("/api/runs/search/metric/", params=query))
        blobs = (data for path, data in aim_tree(answer.content) if path[-2:] == ("values", "blob"))
        return sum(len(data) // 8 for data in blobs), len(answer.content)


def aim_tree(data: bytes) -> Iterator[tuple[tuple[Any, ...], bytes]]:
    """Yields paths and encoded values of what Aim streams: keys and values in turn, each behind its length."""
    from aim.storage.encoding import decode_path

    position, parts = 0, []
    while position < len(data):
        (size,) = struct.unpack_from("I", data, position)
        parts.append(data[position + 4 : position + 4 + size])
        position += 4 + size
    for key, value in zip(parts[::2], parts[1::2], strict=True):
        yield tuple(decode_path(key)), value


class Trackio(Server):
    """trackio with its local server."""

    @staticmethod
    def environment(folder: Path) -> dict[str, str]:
        return {"TRACKIO_DIR": str(folder)}

    @staticmethod
    def fill(folder: Path, num_runs: int, num_steps: int, num_metrics: int, give_up_at: float) -> int:
        from trackio.sqlite_storage import SQLiteStorage  # what its imports write with; they take a run a project

        for run in range(num_runs):
            if time.monotonic() > give_up_at:
                return run
            values = [
                {f"metric_{metric}": value_of(run, step, metric) for metric in range(num_metrics)}
                for step in range(num_steps)
            ]
            SQLiteStorage.bulk_log(PROJECT, f"run-{run:04}", values, steps=list(range(num_steps)))
        return num_runs

    @staticmethod
    def command(folder: Path, port: int, num_points: int) -> list[str]:
        options = f"server_port={port}, open_browser=False, block_thread=True, share=False"
        return ["-c", f"import trackio; trackio.show({options})"]

    def latest(self, client: httpx.Client) -> tuple[int, int]:
        logs, size = self._logs(client, 1)
        return sum(key.startswith("metric_") for one in logs if one["logs"] for key in one["logs"][-1]), size

    def curves(self, client: httpx.Client, num_points: int) -> tuple[int, int]:
        logs, size = self._logs(client, num_points)
        return sum(len(one["logs"]) for one in logs), size

    @staticmethod
    def _logs(client: httpx.Client, max_points: int) -> tuple[list[dict[str, Any]], int]:
        found = asked(client.post("/api/get_runs_for_project", json={"project": PROJECT}))
        runs = [{"run": run["name"], "run_id": run["id"]} for run in found.json()["data"]]
        logs, size = [], len(found.content)
        for first in range(0, len(runs), 64):  # as many as a request may have
            body = {"project": PROJECT, "runs": runs[first : first + 64], "max_points": max_points}
            answer = asked(client.post("/api/get_logs_batch", json=body))
            logs += answer.json()["data"]
            size += len(answer.content)
        return logs, size


SERVERS: dict[str, type[Server]] = {
    "MLgym's hub": Mlgym,
    "MLflow (SQLite)": Mlflow,
    "TensorBoard": Tensorboard,
    "Aim": Aim,
    "trackio": Trackio,
}


def asked(answer: httpx.Response) -> httpx.Response:
    return answer.raise_for_status()


def main() -> None:
    """Fills a folder."""
    _, name, folder, num_runs, num_steps, num_metrics, seconds = sys.argv
    server, path = SERVERS[name], Path(folder)
    os.environ.update(server.environment(path))
    give_up_at = time.monotonic() + float(seconds)
    done = server.fill(path, int(num_runs), int(num_steps), int(num_metrics), give_up_at)
    sys.stdout.write("\n" + json.dumps({"count": done}) + "\n")


if __name__ == "__main__":
    main()
