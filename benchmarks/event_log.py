"""Durable events per second of the event log, beside what the disk allows; and what opening a large log costs.

The limit is raw: the same bytes, encoded and sealed before the clock starts, through one `os.write` and one `fsync` a
group. The plain buffered file has neither fsync nor checksum nor recovery: it shows what durability costs. Rounds of
all subjects alternate, so that the ratios hold on a busy machine. The log lies beside this file, whatever disk that is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlgym.events import EvaluationResult, EventLog, LogSink, LossScore, MetricScore, Producer, fold, read_log
from mlgym.events.codec import seal
from report import print_rows
from scratch import scratch

GROUP_SIZES = (1, 100, 1000)
LIMIT = "raw write and fsync (limit)"


def evaluation(number: int) -> EvaluationResult:
    """Gives a payload as the evaluator makes them."""
    return EvaluationResult(
        grid_search_id="2026-11-23--16-14-30",
        experiment_id=number % 10,
        epoch=number // 10,
        step=number * 30,
        metric_scores=[MetricScore("f1_macro", "val", 0.9 + number * 1e-9), MetricScore("accuracy", "val", 0.91)],
        loss_scores=[LossScore("cross_entropy", "val", 1.0 / (number + 1))],
    )


class Subjects:
    """What is compared, each with its own file in a folder."""

    def __init__(self, folder: Path) -> None:
        (folder / "sink").mkdir()
        self._log = EventLog.open(folder / "event_storage.log")
        self._sink_log = EventLog.open(folder / "sink" / "event_storage.log")
        self._sink = LogSink(self._sink_log)
        self._raw = os.open(folder / "raw.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._buffered = (folder / "buffered.log").open("ab")

    def raw(self, lines: list[bytes]) -> None:
        """The limit: one write and one fsync."""
        os.write(self._raw, b"".join(lines))
        os.fsync(self._raw)

    def append(self, bodies: list[bytes]) -> None:
        """What the driver does with events that workers encoded: check, seal, write, fsync."""
        self._log.append(bodies)

    def emit(self, payloads: list[EvaluationResult]) -> None:
        """The whole way of an event of this process."""
        for payload in payloads:
            self._sink.emit(payload)
        self._sink.flush()
        assert self._sink.pending == 0

    def buffered(self, lines: list[bytes]) -> None:
        """A Python file, flushed after each group, not durable."""
        for line in lines:
            self._buffered.write(line)
        self._buffered.flush()

    def close(self) -> None:
        self._log.close()
        self._sink_log.close()
        os.close(self._raw)
        self._buffered.close()


def status_mb(key: str) -> float:
    """Gives a size from the process's status, such as `VmHWM`, the peak of its resident memory, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(key)


def reset_peak_mb() -> float:
    """Starts the peak anew and gives the resident memory now, in MB: other benchmarks ran in this process before."""
    Path("/proc/self/clear_refs").write_text("5")
    return status_mb("VmRSS")


def seconds(work: Callable[[Any], None], groups: list[Any]) -> float:
    """Gives how long a round over all groups takes."""
    before = time.perf_counter()
    for group in groups:
        work(group)
    return time.perf_counter() - before


def append_rows(group_size: int, num_groups: int, num_rounds: int) -> list[dict[str, Any]]:
    """Measures events per second in groups of one size."""
    producer = Producer()
    rounds: list[dict[str, float]] = []
    with scratch() as folder:
        subjects = Subjects(folder)
        for _ in range(num_rounds):
            payloads = [[evaluation(g * group_size + i) for i in range(group_size)] for g in range(num_groups)]
            bodies = [[producer.encode(payload) for payload in group] for group in payloads]
            sealed = [[seal(body) for body in group] for group in bodies]
            rounds.append({
                LIMIT: seconds(subjects.raw, sealed),
                "EventLog.append, encoded events": seconds(subjects.append, bodies),
                "LogSink, encoding included": seconds(subjects.emit, payloads),
                "plain buffered file, not durable": seconds(subjects.buffered, sealed),
            })  # fmt: skip
        subjects.close()
    num_events = group_size * num_groups
    return [
        {
            "table": "Appending",
            "group": group_size,
            "subject": name,
            "events/s": f"{num_events / statistics.median(spent[name] for spent in rounds):,.0f}",
            "ratio to limit": f"{statistics.median(spent[LIMIT] / spent[name] for spent in rounds):.2f}",
        }
        for name in rounds[0]
    ]


def encode_row(num_events: int) -> dict[str, Any]:
    """Measures what a worker spends on an event before it goes into the channel."""
    producer, payload = Producer(), evaluation(7)
    plain = {"event_type": "evaluation_result", "creation_ts": 1, "payload": json.loads(producer.encode(payload))}
    times = {}
    for name, work in (
        ("Producer.encode", lambda: producer.encode(payload)),
        ("json.dumps", lambda: json.dumps(plain)),
    ):
        before = time.process_time()
        for _ in range(num_events):
            work()
        times[name] = (time.process_time() - before) / num_events * 1e6
    num_bytes = len(producer.encode(payload))
    return {
        "table": "Encoding one event",
        "bytes": num_bytes,
        "Producer.encode, us CPU": f"{times['Producer.encode']:.1f}",
        "json.dumps of the same as dicts, us CPU": f"{times['json.dumps']:.1f}",
    }


def recovery_rows(num_events: int) -> list[dict[str, Any]]:
    """Measures opening, reading and folding a log with a torn end."""
    with scratch() as folder:
        path = folder / "event_storage.log"
        producer = Producer()
        with EventLog.open(path, fsync=False) as log:
            for start in range(0, num_events, 10_000):
                log.append([producer.encode(evaluation(i)) for i in range(start, min(start + 10_000, num_events))])
        with path.open("ab") as file:
            file.write(b'{"event_type":"log","pay')
        rows = []

        def measure(name: str, work: Callable[[], int]) -> None:
            before_mb = reset_peak_mb()
            wall, cpu = time.perf_counter(), time.process_time()
            assert work() == num_events
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            rows.append({
                "table": f"A log of {num_events:,} events, {path.stat().st_size / 1e6:,.0f} MB, with a torn end",
                "what": name,
                "s": f"{wall:.2f}",
                "s CPU": f"{cpu:.2f}",
                "memory grew by MB": f"{status_mb('VmHWM') - before_mb:,.0f}",
            })  # fmt: skip

        def recover() -> int:
            with EventLog.open(path) as log:
                assert log.recovery is not None
                return log.num_events

        def lines_only() -> int:
            with path.open("rb") as file:
                return sum(1 for _ in file)

        def parse_plainly() -> int:
            with path.open("rb") as file:
                return sum(1 for line in file if json.loads(line))

        measure("EventLog.open: verify, cut, go on", recover)
        measure("reading lines only (limit)", lines_only)
        measure("json.loads of every line", parse_plainly)
        measure("read_log", lambda: sum(1 for _ in read_log(path)))
        measure("fold into a RunState", lambda: fold(read_log(path)).num_events)
    return rows


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives all results, one dict a row; `table` says which rows belong together."""
    found: list[dict[str, Any]] = []
    for group_size in GROUP_SIZES:
        num_groups = (20 if quick else 200) if group_size > 1 else (100 if quick else 1000)
        if group_size == 1000:
            num_groups //= 10
        found += append_rows(group_size, num_groups, num_rounds=2 if quick else 7)
    found.append(encode_row(10_000 if quick else 200_000))
    found += recovery_rows(50_000 if quick else 1_000_000)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and a smaller log")
    print_rows(rows(quick=parser.parse_args().quick))
