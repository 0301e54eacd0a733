"""What tasks are made to run in these tests: an experiment of straw that can go on where it stood. No PyTorch."""

from __future__ import annotations

import time
from pathlib import Path

from mlgym.errors import Interrupted
from mlgym.events import Event, EventSink, LossScore
from mlgym.events.types import CheckpointSaved, EvaluationResult
from mlgym.execution.job import Job
from mlgym.execution.stop_request import StopRequest
from tests.execution.jobs import FOR_EVER_S


def count(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Counts epochs, as far as the file `epochs` in the run folder or the folder `gate` allows.

    Its results have the number of their epoch, as those of a training do. Asked to stop it saves, but not if `barren`.
    """
    checkpoints = Path(job.run_dir) / str(job.experiment_id) / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    epoch = len(list(checkpoints.iterdir()))
    give_up_at = time.monotonic() + FOR_EVER_S
    while epoch < job.config["epochs"]:
        assert time.monotonic() < give_up_at
        if stop.requested:
            if job.config.get("barren"):
                raise Interrupted
            save(job, sink, checkpoints, epoch)
            raise Interrupted
        if epoch < allowed(job):
            result = EvaluationResult(
                grid_search_id=job.run_id,
                experiment_id=job.experiment_id,
                epoch=epoch,
                step=epoch,
                metric_scores=[],
                loss_scores=[LossScore("loss", "train", 1 / (epoch + 1))],
            )
            sink.emit_event(
                Event(
                    event_type=result.event_type,
                    creation_ts=time.time_ns() // 1000,
                    payload=result,
                    producer=f"{job.experiment_id:032x}",
                    seq=epoch,
                )
            )
            epoch += 1
        else:
            time.sleep(0.01)


def allow(gate: Path, epochs: int) -> None:
    """Says how many epochs may be counted by now, at once for whoever looks."""
    written = gate / ".epochs"
    written.write_text(str(epochs))
    written.rename(gate / "epochs")


def allowed(job: Job) -> int:
    """How many epochs may be counted by now."""
    path = Path(job.config.get("gate", job.run_dir)) / "epochs"
    return int(path.read_text()) if path.exists() else int(job.config["epochs"])


def save(job: Job, sink: EventSink, checkpoints: Path, epoch: int) -> None:
    """Leaves a folder for each epoch."""
    for number in range(len(list(checkpoints.iterdir())), epoch):
        path = checkpoints / f"epoch_{number}"
        path.mkdir()
        sink.emit(
            CheckpointSaved(
                grid_search_id=job.run_id,
                experiment_id=job.experiment_id,
                epoch=number,
                step=number,
                path=str(path.relative_to(job.run_dir)),
                bytes=0,
                sha256={},
                reasons=["stop"],
            )
        )


def tear(job: Job, sink: EventSink, stop: StopRequest) -> None:
    """Dies in the middle of a line."""
    import os
    import signal

    count(job, sink, stop)
    os.write(sink._descriptor, b'{"event_type":"evaluation_result","payl')  # type: ignore[attr-defined]  # of a pipe or spool
    os.kill(os.getpid(), signal.SIGKILL)
