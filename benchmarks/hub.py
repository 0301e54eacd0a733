"""Events into the hub and out of it: durable events per second, what a long log costs, how late events come, replay.

Every service is a process of its own with an empty storage folder beside this file, whatever disk that is; clients are
on the same machine and take their part of it. What is sent is encoded before the clock starts. An acknowledged event is
on the disk. Where two things are compared, their rounds alternate.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from mlgym.events import EvaluationResult, EventLog, LossScore, MetricScore, Producer
from report import print_rows
from scratch import scratch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.server.service import REST, Service

WEBSOCKET = ("mlgym.server.websocket_service", "--event_storage_path")
BATCH = 100
IN_FLIGHT = 8
NUM_SUBSCRIBERS = 10
EVENTS_PER_S = 1000


def bodies(run: str, num_events: int, first: int = 0) -> list[bytes]:
    """Gives evaluations as an experiment sends them, from a producer of their own."""
    producer = Producer()
    return [
        producer.encode(
            EvaluationResult(
                grid_search_id=run,
                experiment_id=number % 10,
                epoch=number // 10,
                step=number * 30,
                metric_scores=[
                    MetricScore("f1_macro", "val", 0.9 + number * 1e-9),
                    MetricScore("accuracy", "val", 0.91),
                ],
                loss_scores=[LossScore("cross_entropy", "val", 1.0 / (number + 1))],
            )
        )
        for number in range(first, first + num_events)
    ]


@contextmanager
def socket_of(service: Service) -> Iterator[ClientConnection]:
    """Gives a connected socket that speaks the bare protocol, so that the client costs little."""
    url = f"{service.url.replace('http', 'ws', 1)}/socket.io/?EIO=4&transport=websocket"
    with connect(url, max_size=None, compression=None, proxy=None, ping_interval=None) as socket:
        socket.recv()
        socket.send("40")
        socket.recv()
        yield socket


def send_all(socket: ClientConnection, messages: Sequence[str], in_flight: int) -> None:
    """Sends messages that ask for an ack, so many at a time, and takes all acks."""
    sent = acknowledged = 0
    while acknowledged < len(messages):
        while sent < len(messages) and sent - acknowledged < in_flight:
            socket.send(messages[sent])
            sent += 1
        answer = str(socket.recv())
        if answer == "2":
            socket.send("3")
            continue
        assert answer.startswith("43"), answer
        assert '"error"' not in answer, answer
        acknowledged += 1


def batches(run: str, num_events: int, size: int) -> list[str]:
    """Gives the messages for so many events."""
    events = [body.decode() for body in bodies(run, num_events)]
    if size == 1:
        return [f'42{number}["mlgym_event",{event}]' for number, event in enumerate(events)]
    groups = [events[start : start + size] for start in range(0, num_events, size)]
    return [f'42{number}["mlgym_events",[{",".join(group)}]]' for number, group in enumerate(groups)]


def cpu_s(service: Service) -> float:
    """Gives the processor time that a service has taken so far, in s."""
    assert service._process is not None
    fields = Path(f"/proc/{service._process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(service: Service, work: Callable[[], None]) -> tuple[float, float]:
    """Gives the time that something takes and the processor time of the service, both in s."""
    cpu, wall = cpu_s(service), time.perf_counter()
    work()
    return time.perf_counter() - wall, cpu_s(service) - cpu


def at_least(value: float, goal: float) -> str:
    """Gives a goal and whether it was met."""
    return f">= {goal:,.0f}: {'met' if value >= goal else 'MISSED'}"


def at_most(value: float, goal: float, unit: str = "") -> str:
    """Gives a goal and whether it was met."""
    return f"<= {goal:g}{unit}: {'met' if value <= goal else 'MISSED'}"


def ingest_rows(num_events: int, num_rounds: int) -> list[dict[str, Any]]:
    """Measures durable events per second, by every way into the hub and without one."""
    found: dict[str, list[tuple[float, float, int]]] = {}
    few = max(200, num_events // 40)
    with scratch() as folder, ExitStack() as stack:
        sockets = stack.enter_context(Service(folder / "ws", program=WEBSOCKET))
        rest = stack.enter_context(Service(folder / "rest", program=REST))
        log = stack.enter_context(EventLog.open(folder / "limit.log"))
        lines = b"\n".join(bodies("any", 3 * num_events)).replace(b'"grid_search_id":"any",', b"")
        for number in range(num_rounds):
            for name, size, in_flight, num in (
                (f"Socket.IO, batches of {BATCH}, {IN_FLIGHT} on their way", BATCH, IN_FLIGHT, num_events),
                (f"Socket.IO, batches of {BATCH}, one on its way", BATCH, 1, num_events),
                ("Socket.IO, single events, 100 on their way", 1, 100, few),
                ("Socket.IO, single events, one on its way", 1, 1, few),
            ):
                messages = batches(f"run-{number}-{size}-{in_flight}", num, size)
                with socket_of(sockets) as socket:
                    times = measured(sockets, lambda s=socket, m=messages, n=in_flight: send_all(s, m, n))
                found.setdefault(name, []).append((*times, num))
            name = "REST, NDJSON in one request"
            times = measured(rest, lambda n=number, body=lines: post(rest, f"run-{n}", body))
            found.setdefault(name, []).append((*times, 3 * num_events))
            groups = bodies("limit", num_events)
            started = time.perf_counter()
            for start in range(0, num_events, BATCH):
                log.append(groups[start : start + BATCH])
            wall = time.perf_counter() - started
            found.setdefault(f"EventLog.append in groups of {BATCH}, no hub (limit)", []).append(
                (wall, wall, num_events)
            )
    goals = {f"Socket.IO, batches of {BATCH}, {IN_FLIGHT} on their way": 30_000, "REST, NDJSON in one request": 100_000}
    rows = []
    for name, rounds in found.items():
        rate = statistics.median(num / wall for wall, _, num in rounds)
        rows.append({
            "table": "Durable events into the hub",
            "way": name,
            "events/s, median": f"{rate:,.0f}",
            "least to most": f"{min(n / w for w, _, n in rounds):,.0f} to {max(n / w for w, _, n in rounds):,.0f}",
            "us CPU an event, of the hub": f"{statistics.median(cpu / n for _, cpu, n in rounds) * 1e6:.1f}",
            "goal": at_least(rate, goals[name]) if name in goals else "",
        })  # fmt: skip
    return rows


def post(service: Service, run: str, body: bytes) -> None:
    """Sends lines of events by REST."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=600)
    connection.request("POST", f"/api/v1/runs/{run}/events", body, {"Content-Type": "application/x-ndjson"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
    connection.close()


def fill(storage: Path, run: str, num_events: int) -> Path:
    """Makes a run with so many events and gives its log."""
    path = storage / run / "event_storage.log"
    path.parent.mkdir(parents=True)
    with EventLog.open(path, fsync=False) as log:
        for first in range(0, num_events, 50_000):
            log.append(bodies(run, min(50_000, num_events - first), first))
    return path


def length_rows(long: int, num_events: int, num_rounds: int) -> list[dict[str, Any]]:
    """Measures what an event costs the hub where the log is short and where it is long, a subscriber beside it."""
    lengths = {1000: "short", long: "long"}
    costs: dict[int, list[float]] = {length: [] for length in lengths}
    with scratch() as folder:
        for length, run in lengths.items():
            fill(folder / "storage", run, length)
        with Service(folder / "storage", program=WEBSOCKET) as service, ExitStack() as stack:
            sockets = {length: stack.enter_context(socket_of(service)) for length in lengths}
            for length, run in lengths.items():  # opens the log, and reads all of it once
                send_all(sockets[length], batches(run, 100, BATCH), 1)
            for _ in range(num_rounds):
                for length, run in lengths.items():
                    messages = batches(run, num_events, BATCH)
                    _, cpu = measured(service, lambda n=length, m=messages: send_all(sockets[n], m, IN_FLIGHT))
                    costs[length].append(cpu / num_events)
    medians = {length: statistics.median(values) for length, values in costs.items()}
    ratio = medians[long] / medians[1000]
    return [
        {
            "table": "What an event costs in a long log",
            "lines in the log at first": f"{length:,}",
            "us CPU an event, median": f"{medians[length] * 1e6:.2f}",
            "least to most": f"{min(costs[length]) * 1e6:.2f} to {max(costs[length]) * 1e6:.2f}",
            "ratio": f"{medians[length] / medians[1000]:.3f}",
            "goal": at_most(ratio, 1.1) if length == long else "",
        }
        for length in lengths
    ]


LISTENER = """
import asyncio, sys, time, json
from websockets.asyncio.client import connect

async def listen(url, num_events, ready, late):
    async with connect(url, max_size=None, compression=None, proxy=None, ping_interval=None) as socket:
        await socket.recv(); await socket.send("40"); await socket.recv()
        await socket.send('420["join",{"rooms":["run"],"protocol":2}]')
        num_got = 0
        while num_got < num_events:
            text = await socket.recv()
            now = time.monotonic()
            if text == "2":
                await socket.send("3")
            elif text.startswith("43"):
                ready.release()
            elif text.startswith('42["mlgym_event"'):
                message = json.loads(text[2:])[1]
                data = message["data"]
                events = [one["data"] for one in data] if isinstance(data, list) else [data]
                late += [now - event["payload"]["at"] for event in events]
                num_got += len(events)

async def main(url, num_events, num_subscribers):
    ready, late = asyncio.Semaphore(0), []
    tasks = [asyncio.create_task(listen(url, num_events, ready, late)) for _ in range(num_subscribers)]
    for _ in tasks:
        await ready.acquire()
    print("ready", flush=True)
    await asyncio.gather(*tasks)
    late.sort()
    print(json.dumps([late[len(late) // 2], late[int(len(late) * 0.99)], late[-1], len(late)]), flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


@contextmanager
def disk_watched(folder: Path, waits: list[float]) -> Iterator[None]:
    """Notes how long the disk takes for a page (s), twenty times a second while the body runs: the limit of an ack."""
    is_over = threading.Event()

    def watch() -> None:
        with (folder / "page").open("wb", buffering=0) as file:
            while not is_over.wait(0.05):
                started = time.monotonic()
                file.write(bytes(4096))
                os.fsync(file.fileno())
                waits.append(time.monotonic() - started)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def latency_rows(num_s: float) -> list[dict[str, Any]]:
    """Measures how late events come, from before they are sent until they are read, at a steady rate."""
    num_events = int(EVENTS_PER_S * num_s)
    with scratch() as folder, Service(folder / "storage", program=WEBSOCKET) as service:
        url = f"{service.url.replace('http', 'ws', 1)}/socket.io/?EIO=4&transport=websocket"
        listener = subprocess.Popen(
            [sys.executable, "-c", LISTENER, url, str(num_events), str(NUM_SUBSCRIBERS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
        producer, cpu = uuid.uuid4().hex, cpu_s(service)
        waits: list[float] = []
        with socket_of(service) as socket, disk_watched(folder, waits):
            started = time.monotonic()
            for seq in range(num_events):
                time.sleep(max(0.0, started + seq / EVENTS_PER_S - time.monotonic()))
                socket.send(
                    '42["mlgym_event",{"event_type":"log","creation_ts":1,"payload":{"grid_search_id":"run","at":'
                    f'{time.monotonic()!r},"message":"{"x" * 200}"}},"producer":"{producer}","seq":{seq}}}]'
                )
            sent_s = time.monotonic() - started
            said = listener.communicate(timeout=60)[0]
        cpu = cpu_s(service) - cpu
    middle, p99, most, num = (float(one) for one in said.strip(" []\n").split(","))
    assert num == num_events * NUM_SUBSCRIBERS
    return [
        {
            "table": f"From one publisher to {NUM_SUBSCRIBERS} subscribers, events sent one by one",
            "events/s": f"{num_events / sent_s:,.0f}",
            "median": f"{middle * 1e3:.1f} ms",
            "p99": f"{p99 * 1e3:.1f} ms",
            "latest": f"{most * 1e3:.1f} ms",
            "fsync of a page meanwhile, p99": f"{statistics.quantiles(waits, n=100)[-1] * 1e3:.1f} ms",
            "CPU of the hub": f"{cpu / sent_s:.0%} of a core",
            "goal for p99": at_most(p99 * 1e3, 50, " ms"),
        }
    ]


def replay_rows(num_events: int, num_rounds: int) -> list[dict[str, Any]]:
    """Measures how long it takes to get all events of a run."""
    times: dict[str, list[float]] = {"REST, first": [], "REST": [], "Socket.IO": [], "reading the file (limit)": []}
    with scratch() as folder:
        path = fill(folder / "storage", "run", num_events)
        num_bytes = path.stat().st_size
        with (
            Service(folder / "storage", program=REST) as rest,
            Service(folder / "storage", program=WEBSOCKET) as sockets,
        ):
            for number in range(num_rounds):
                started = time.perf_counter()
                assert get(rest) == num_bytes
                times["REST" if number else "REST, first"].append(time.perf_counter() - started)
                started = time.perf_counter()
                with socket_of(sockets) as socket:
                    socket.send('42["join",{"rooms":["run"],"protocol":2}]')
                    last = f'"event_id":{num_events - 1},'
                    while last not in (text := str(socket.recv())):
                        if text == "2":
                            socket.send("3")
                times["Socket.IO"].append(time.perf_counter() - started)
                started = time.perf_counter()
                with path.open("rb") as file:
                    while file.read(2**20):
                        pass
                times["reading the file (limit)"].append(time.perf_counter() - started)
    goal = {"REST, first": 4.0, "REST": 4.0}
    return [
        {
            "table": f"All {num_events:,} events of a run, {num_bytes / 1e6:,.0f} MB",
            "way": name,
            "s, median": f"{statistics.median(values):.2f}",
            "MB/s": f"{num_bytes / 1e6 / statistics.median(values):,.0f}",
            "goal": at_most(statistics.median(values), goal[name], " s") if name in goal else "",
        }
        for name, values in times.items()
        if values
    ]


def get(service: Service) -> int:
    """Gets all events of the run and gives how many bytes came."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=600)
    connection.request("GET", "/api/v1/runs/run/events")
    answer, num_bytes = connection.getresponse(), 0
    assert answer.status == 200
    while piece := answer.read(2**20):
        num_bytes += len(piece)
    connection.close()
    return num_bytes


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives all results, one dict a row; `table` says which rows belong together."""
    return [
        *ingest_rows(num_events=2_000 if quick else 50_000, num_rounds=2 if quick else 5),
        *length_rows(
            10_000 if quick else 1_000_000, num_events=2_000 if quick else 20_000, num_rounds=2 if quick else 7
        ),
        *latency_rows(num_s=2 if quick else 20),
        *replay_rows(20_000 if quick else 1_000_000, num_rounds=2 if quick else 3),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few events and rounds")
    print_rows(rows(quick=parser.parse_args().quick))
