"""States of runs for these tests, folded from events as a log holds them, and texts that nobody should trust."""

from __future__ import annotations

from typing import Any

from mlgym.events import RunState, fold

RUN_ID = "2026-11-23--16-14-30"
START_S = 1_000_000.0

ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m"
DIRECTIONS = "\u202edrow\u2066\u200f"
HOSTILE = [
    ESCAPES + "clear",
    "two\nlines\r\nand \x0b more\u2028still",
    DIRECTIONS + "backwards",
    "[red]markup[/red] [/] :smile: [link=http://example.org]x[/link]",
    "long " * 1_000_000,
    "lone \ud800 surrogate",
    "<script>alert(1)</script>",
    "tab\tand\0zero",
    "",
]
UNSAFE = [chr(code) for code in (*range(10), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x200F, 0x2028)]


def event(event_type: str, experiment_id: int | None = 0, at: float = START_S, **payload: Any) -> dict[str, Any]:
    """Gives an event as a log holds it."""
    who = {} if experiment_id is None else {"experiment_id": experiment_id}
    return {
        "event_type": event_type,
        "creation_ts": int(at * 1e6),
        "payload": {"grid_search_id": RUN_ID, **who, **payload},
    }


def started(num_experiments: int = 2, name: str = "digits") -> dict[str, Any]:
    return event(
        "run_started", None, name=name, num_experiments=num_experiments, validation_mode="grid_search", command=[],
        versions={},
    )  # fmt: skip


def config(experiment_id: int = 0, swept: dict[str, Any] | None = None, epochs: int = 10) -> dict[str, Any]:
    stopping = {"use": "patience", "metric": "val/f1", "best": "max", "epochs": 2}
    root = {"use": "training", "epochs": epochs, "early_stopping": stopping}
    return event("experiment_config", experiment_id, config={"experiment": root}, swept=swept or {})


def job(status: str, experiment_id: int = 0, at: float = START_S, **more: Any) -> dict[str, Any]:
    return event("job_status", experiment_id, at, status=status, **more)


def scores(epoch: int, value: float, experiment_id: int = 0, more: dict[str, float] | None = None) -> dict[str, Any]:
    named = [{"metric": "f1", "split": "val", "score": value}]
    named += [{"metric": name, "split": "val", "score": one} for name, one in (more or {}).items()]
    return event("evaluation_result", experiment_id, epoch=epoch, step=10 * epoch, metric_scores=named, loss_scores=[])


def progress(epoch: int, batch: int, at: float, experiment_id: int = 0, **more: Any) -> dict[str, Any]:
    facts = {"status": "train", "num_epochs": 10, "num_batches": 100, "current_split": "train", "splits": ["train"]}
    return event(
        "experiment_status", experiment_id, at, **(facts | {"current_epoch": epoch, "current_batch": batch} | more)
    )


def done(experiment_id: int = 0, seconds: float = 60.0, **more: Any) -> dict[str, Any]:
    return job(
        "DONE", experiment_id, START_S + seconds, starting_time=START_S, finishing_time=START_S + seconds, **more
    )


def state_of(*events: dict[str, Any]) -> RunState:
    return fold(enumerate(events))
