"""Logs of whole runs, with everything that a read side must get right: resumes, failures, NaN, log lines, tables."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from mlgym.events import Event, RunState, encode, read_log
from mlgym.events.codec import seal

RUN_ID = "2026-11-23--16-14-30"
START_S = 1_795_450_470.0


class Recorder:
    """Writes events one by one, a second apart.

    Args:
        path: the log; its folder is made.
        run_id: whose events they are.
    """

    def __init__(self, path: Path, run_id: str = RUN_ID) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.run_id = run_id
        self.num_events = 0

    def add(self, event_type: str, **payload: Any) -> None:
        event = Event(
            event_type=event_type,
            creation_ts=int((START_S + self.num_events) * 1e6),
            payload={"grid_search_id": self.run_id, **payload},
            producer="a" * 32,
            seq=self.num_events,
        )
        self.num_events += 1
        with self.path.open("ab") as file:
            file.write(seal(encode(event)))

    def start(self, num_experiments: int, event_type: str = "run_started") -> None:
        self.add(
            event_type,
            name="digits",
            command=["mlgym", "run", "digits.yml"],
            versions={"mlgym": "1.0", "torch": "2.13"},
            num_experiments=num_experiments,
            validation_mode="grid_search",
        )
        self.add("environment", environment={"python": {"version": "3.11"}, "memory_bytes": 2**34})

    def configure(self, number: int, **swept: Any) -> None:
        trial = {"configuration": number, "role": "grid", "fold": None}
        self.add(
            "experiment_config", experiment_id=number, job_id="j", config=config_of(swept), swept=swept, trial=trial
        )
        self.job(number, "INIT")

    def job(self, number: int, status: str, **more: Any) -> None:
        at = START_S + self.num_events
        times = {"starting_time": at if status != "INIT" else -1, "finishing_time": at if status == "DONE" else -1}
        self.add("job_status", experiment_id=number, job_id="j", job_type=1, status=status, **{**times, **more})

    def evaluate(self, number: int, epoch: int, **values: float) -> None:
        scores = [
            {"metric": name, "split": "val", "score": value if math.isfinite(value) else None}
            | ({} if math.isfinite(value) else {"non_finite": str(value)})
            for name, value in values.items()
        ]
        loss = [{"loss": "loss", "split": "train", "score": 1 / epoch}]
        self.add(
            "evaluation_result",
            experiment_id=number,
            epoch=epoch,
            step=10 * epoch,
            metric_scores=scores,
            loss_scores=loss,
        )

    def log(self, number: int | None, level: str, message: str) -> None:
        self.add("log", experiment_id=number, level=level, logger="stderr", message=message)


def config_of(swept: dict[str, Any]) -> dict[str, Any]:
    """Gives a resolved config with the swept values in it."""
    components: dict[str, Any] = {
        "data": {"use": "digits"},
        "split": {"use": "random_split", "dataset": "$data"},
        "loaders": {"use": "data_loaders", "datasets": {"train": "$split.train"}, "batch_size": 32},
        "model": {"use": "mlp", "hidden": [8]},
        "optimizer": {"use": "adam", "model": "$model"},
        "loss": {"use": "cross_entropy"},
        "trainer": {
            "use": "trainer",
            "model": "$model",
            "optimizer": "$optimizer",
            "loss": "$loss",
            "loader": "$loaders.train",
        },
    }
    for key, value in swept.items():
        name, _, parameter = key.partition(".")
        components.setdefault(name, {})[parameter] = value
    checkpoints = {"use": "keep_best", "metric": "val/f1", "best": "max"}
    experiment = {"use": "training", "trainer": "$trainer", "epochs": 4, "checkpoints": checkpoints}
    return {"version": 1, "seed": 2, "components": components, "experiment": experiment}


def write_run(path: Path, run_id: str = RUN_ID) -> Recorder:
    """Writes a run of four experiments: one done, one failed, one resumed in a new lineage, one without a value."""
    recorder = Recorder(path, run_id)
    recorder.start(5)
    for number, (lr, model) in enumerate([(0.1, "mlp"), (0.01, "=cmd()"), (0.001, "mlp"), (0.0001, "conv net")]):
        recorder.configure(number, **{"optimizer.lr": lr, "model.use": model})
    for number in range(3):
        recorder.job(number, "RUNNING", device="cpu")
    recorder.add("data_fingerprint", experiment_id=0, split="val", num_samples=90, sha256="ab" * 32, covers="all",
                 classes={"cat": 60, "dog": 30})  # fmt: skip
    recorder.add("model_summary", experiment_id=0, name="MLP", num_parameters=1234, num_trainable_parameters=1000,
                 num_bytes=4936)  # fmt: skip
    for epoch in range(1, 5):
        recorder.log(0, "info", f"epoch {epoch}")
        recorder.evaluate(0, epoch, f1=0.5 + epoch / 10, mcc=0.1 * epoch)
        recorder.evaluate(1, epoch, f1=math.nan if epoch == 2 else 0.4)
        recorder.evaluate(2, epoch, f1=0.9 - epoch / 10)
    recorder.log(1, "ERROR", "CUDA out of memory\x1b[31m")
    recorder.job(1, "DONE", error="RuntimeError: =1+1 out of memory", stacktrace="Traceback", exit_signal="SIGKILL")
    recorder.add("checkpoint_saved", experiment_id=0, epoch=4, step=40, path="0/checkpoints/epoch_4-step_40", bytes=10,
                 sha256={"model.safetensors": "cd" * 32}, reasons=["best"])  # fmt: skip
    recorder.job(0, "DONE")
    recorder.log(None, "warning", "the driver speaks")
    recorder.start(5, "run_resumed")
    recorder.add("experiment_resumed", experiment_id=2, job_id="k", epoch=2, step=20, path="2/checkpoints/e", lineage=1,
                 replaces_later=True)  # fmt: skip
    recorder.job(2, "RUNNING", attempt=1)
    recorder.evaluate(2, 3, f1=0.95)
    recorder.add("evaluation_result", experiment_id=2, epoch=4, step=40, loss_scores=[], metric_scores=[],
                 tables=[{"metric": "confusion", "split": "val", "values": [[3, 1], [0, 4]]}])  # fmt: skip
    recorder.evaluate(2, 4, f1=math.inf)
    recorder.add("something_new", experiment_id=2, further={"nested": [1]})
    return recorder


def write_random_run(path: Path, num_events: int, seed: int = 0) -> Recorder:
    """Writes a run in which evaluations, resumes and other events come in any order."""
    rng = random.Random(seed)
    recorder = Recorder(path)
    recorder.start(9)
    while recorder.num_events < num_events:
        number, epoch = rng.randrange(9), rng.randrange(1, 30)
        match rng.randrange(12):
            case 0:
                recorder.job(number, rng.choice(["INIT", "RUNNING", "DONE"]), error=rng.choice([None, "no"]))
            case 1:
                recorder.add("experiment_resumed", experiment_id=number, epoch=epoch, step=10 * epoch,
                             lineage=rng.randrange(4), replaces_later=rng.random() < 0.7)  # fmt: skip
            case 2:
                recorder.add("run_resumed", name="digits", num_experiments=9)
            case 3:
                recorder.log(number, "info", "words")
            case 4 if recorder.num_events + 2 <= num_events:
                recorder.configure(number, **{"optimizer.lr": rng.random()})
            case _:
                recorder.evaluate(number, epoch, f1=rng.random())
    return recorder


def state_after(path: Path, num_events: int) -> RunState:
    """Gives the state by folding the log from its start."""
    state = RunState()
    for event_id, event in read_log(path):
        if event_id < num_events:
            state.apply(event_id, event)
    return state


def shown(state: RunState) -> dict[str, Any]:
    """Gives all of a state but log lines and where its values lie in memory, so that equal states are equal texts."""
    experiments = {}
    for number, one in state.experiments.items():
        facts = {
            name: repr(getattr(one, name))
            for name in one.__slots__
            if name not in ("measured", "metrics", "recent_logs")
        }
        points = {
            key: [
                (repr(history[i]), history.measured.event_ids[row], history.measured.times[row])
                for i, row in enumerate(history.rows)
            ]
            for key, history in one.metrics.items()
        }
        experiments[number] = (facts, points)
    own = {name: repr(getattr(state, name)) for name in state.__slots__ if name not in ("experiments", "recent_logs")}
    return own | {"experiments": experiments}
