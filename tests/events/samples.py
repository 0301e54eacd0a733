"""Events and logs that several tests use."""

from __future__ import annotations

import random
from pathlib import Path

from mlgym.events import (
    Digest,
    EvaluationResult,
    Event,
    ExperimentStatus,
    JobStatus,
    Log,
    LossScore,
    MetricScore,
    Payload,
    Producer,
    encode,
)
from mlgym.events.codec import seal

RUN_ID = "2026-11-23--16-14-30"
LEGACY_LINE = (
    b'{"event_type": "evaluation_result", "creation_ts": 1670000000000000, "payload": {"grid_search_id": "old", '
    b'"experiment_id": 0, "epoch": 3, "metric_scores": [{"metric": "F1", "split": "val", "score": NaN}], '
    b'"loss_scores": [{"loss": "CE", "split": "val", "score": Infinity}, '
    b'{"loss": "CE", "split": "train", "score": 0.5}]}}\n'
)


def log_event(message: str = "hello", experiment_id: int | None = 0) -> Log:
    return Log(grid_search_id=RUN_ID, experiment_id=experiment_id, level="INFO", logger="test", message=message)


def payload(number: int) -> Payload:
    """Gives one of several kinds of payload, with text that is hard on parsers in some."""
    rng = random.Random(number)
    kinds: list[Payload] = [
        log_event(
            rng.choice(["a\nb", 'quote " and \\', '","producer":"x","seq":1,"crc":"00000000"}', "日本 ☃ 🙂", "J" * 30])
        ),
        EvaluationResult(
            grid_search_id=RUN_ID,
            experiment_id=number % 7,
            epoch=number,
            step=10 * number,
            metric_scores=[MetricScore("f1_macro", "val", rng.random())],
            loss_scores=[LossScore("cross_entropy", "val", None, "nan")],
        ),
        ExperimentStatus(
            grid_search_id=RUN_ID,
            experiment_id=number % 7,
            status="train",
            num_epochs=100,
            current_epoch=number,
            splits=["train", "val"],
            current_split="train",
            num_batches=30,
            current_batch=number % 30,
        ),
        JobStatus(job_id=f"{RUN_ID}-{number}", status="RUNNING", grid_search_id=RUN_ID, experiment_id=number % 7),
        Digest(grid_search_id=RUN_ID, experiment_id=0, epoch=1, step=number, parameters="ab" * 32, optimizer="cd" * 32),
    ]
    return kinds[number % len(kinds)]


def lines(num_events: int) -> list[bytes]:
    """Gives sealed lines as a log has them; every tenth is of a producer that does not number its events."""
    producer = Producer("0123456789abcdef0123456789abcdef")
    events = [producer.event(payload(number)) for number in range(num_events)]
    anonymous = [Event(event_type=e.event_type, creation_ts=e.creation_ts, payload=e.payload) for e in events]
    return [seal(encode(anonymous[i] if i % 10 == 9 else events[i])) for i in range(num_events)]


def messages(path: Path) -> list[str]:
    """Gives the messages of the log lines in a file, read without the code under test."""
    import json

    return [json.loads(line)["payload"]["message"] for line in path.read_bytes().splitlines()]
