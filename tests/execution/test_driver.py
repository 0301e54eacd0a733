"""Whole runs: the folder they leave, what the log says, and faults around them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlgym.errors import RunError
from mlgym.events import RunState, read_log
from mlgym.execution import RunSummary, WorkerCode
from mlgym.execution.scheduler import Counts
from mlgym.tracking import RunFolder
from tests.execution.jobs import FOR_EVER_S
from tests.execution.stand_ins import CODE, StandInDocument, launch_straw


def events_of(summary: RunSummary) -> list[dict[str, Any]]:
    return [entry.event for entry in read_log(summary.path / "event_storage.log")]


def payloads(summary: RunSummary, event_type: str) -> list[dict[str, Any]]:
    return [event["payload"] for event in events_of(summary) if event["event_type"] == event_type]


def state_of(summary: RunSummary) -> RunState:
    return RunFolder(summary.path.parent, summary.run_id).state()


def messages(summary: RunSummary, experiment_id: int | None) -> list[str]:
    return [log["message"] for log in payloads(summary, "log") if log["experiment_id"] == experiment_id]


@pytest.mark.parametrize("executor", ["processes", "inline"])
def test_a_run_leaves_its_folder(executor: str, tmp_path: Path) -> None:
    """Config as written, launch, environment, an experiment config each, and a log from start to finish."""
    document = StandInDocument(text="name: straw   # as   written\n")
    summary = launch_straw(tmp_path, ["succeed", "fail", "succeed"], document=document, executor=executor, processes=2)
    assert (summary.counts, summary.exit_code) == (Counts(succeeded=2, failed=1), 1)
    assert summary.path == tmp_path / summary.run_id
    assert (summary.path / "grid_search_config.yml").read_text() == document.text
    launched = yaml.safe_load((summary.path / "run_config.yml").read_text())
    assert (launched["command"], launched["overrides"]) == (["mlgym", "run", "straw.yml"], ["a=1"])
    assert (launched["executor"], launched["threads"], launched["devices"]) == (executor, 1, ["cpu"])
    assert "torch" in launched["versions"]
    assert launched["config"] == {"name": "straw"}
    environment = json.loads((summary.path / "environment.json").read_text())
    assert environment["threads"] == 1
    for experiment_id in range(3):
        config = json.loads((summary.path / str(experiment_id) / "experiment_config.json").read_text())
        assert (config["config_id"], config["seed"]) == ("0" * 64, 7)
    types = [event["event_type"] for event in events_of(summary)]
    assert types[:4] == ["run_started", "environment", "experiment_config", "job_status"]
    assert types[-1] == "run_finished"
    assert payloads(summary, "environment")[0]["environment"] == environment
    state = state_of(summary)
    assert state.counts == {"waiting": 0, "running": 0, "done": 2, "failed": 1, "interrupted": 0}
    assert state.status == "finished"
    failed = state.experiments[1]
    assert failed.error == "ValueError: the data is \\udcff odd"
    assert failed.stacktrace is not None
    assert len(state.experiments[0].metrics["train/loss"]) == 3
    assert [status["status"] for status in payloads(summary, "job_status") if status["experiment_id"] == 2] == [
        "INIT",
        "RUNNING",
        "DONE",
    ]


def test_inline_and_processes_write_the_same(tmp_path: Path) -> None:
    """Per experiment, the events of both kinds are the same in the same order, but for times and ids."""
    logs = []
    for executor in ("inline", "processes"):
        summary = launch_straw(tmp_path, ["succeed", "fail", "talk"], executor=executor, run_id=executor, processes=3)
        by_experiment: dict[int, list[Any]] = defaultdict(list)
        for event in events_of(summary):
            payload = event["payload"]
            if payload.get("experiment_id") is None:
                continue
            told = {key: value for key, value in payload.items() if not key.endswith(("_time", "_id", "stacktrace"))}
            by_experiment[payload["experiment_id"]].append((event["event_type"], told))
        logs.append(dict(by_experiment))
    assert logs[0] == logs[1]
    kinds = [kind for kind, _ in logs[0][2]]
    assert kinds == ["experiment_config", "job_status", "job_status", "log", "evaluation_result", "log", "job_status"]


def test_everything_that_kills_a_worker_fails_one_experiment(tmp_path: Path) -> None:
    """Each end without a word is told with error, signal and last lines; the experiments between them succeed."""
    bad = ["segfault", "exit_at_once", "kill_itself"]
    entries = [entry for each in bad for entry in (each, "succeed")]
    summary = launch_straw(tmp_path, entries, processes=3)
    assert summary.counts == Counts(succeeded=3, failed=3)
    done = {status["experiment_id"]: status for status in payloads(summary, "job_status") if status["status"] == "DONE"}
    assert len(done) == 6
    errors = [(done[i]["error"], done[i].get("exit_signal")) for i in range(0, 6, 2)]
    assert errors == [
        ("worker was killed by SIGSEGV", "SIGSEGV"),
        ("worker exited with code 3 without finishing", None),
        ("worker was killed by SIGKILL", "SIGKILL"),
    ]
    assert done[4]["log_tail"] == [f"line {number}" for number in range(20, 60)]
    assert any("Segmentation fault" in line for line in done[0]["log_tail"])
    assert all(status["device"] == "cpu" for status in done.values())
    assert done[4]["starting_time"] > 0


def test_what_hangs_is_killed_after_its_time(tmp_path: Path) -> None:
    """Asked to stop first, which it does not hear; an experiment that is slower than the limit may be beside it."""
    summary = launch_straw(tmp_path, ["hang"], time_limit_s=0.5, grace_s=0.5)
    assert summary.counts == Counts(failed=1)
    (done,) = (status for status in payloads(summary, "job_status") if status["status"] == "DONE")
    assert (done["error"], done["exit_signal"]) == ("exceeded its time limit of 0.5 s", "SIGKILL")


def test_output_of_workers_is_in_the_log_and_in_text_files(tmp_path: Path) -> None:
    """Prints, logging and warnings become log events of their experiment, and lines of its text file."""
    text = tmp_path / "text"
    summary = launch_straw(tmp_path, ["speak", "succeed"], text_logging_path=text)
    said = messages(summary, 0)
    assert {"printed", "printed to stderr", "logged 7", "written by C \\xff", "100 %", "no end of line"} <= set(said)
    lines = (text / summary.run_id / "0.log").read_text()
    for line in said:
        assert line.splitlines()[0] in lines
    assert not (text / summary.run_id / "1.log").exists()


def test_nothing_is_left_of_a_run_that_cannot_begin(tmp_path: Path) -> None:
    """Text logs to where no folder can be made, though it looks writable; a run without an event would be left."""
    with pytest.raises(RunError, match="no text logs can be written to `/proc/x/"):
        launch_straw(tmp_path, ["succeed"], text_logging_path=Path("/proc/x"))
    assert not list(tmp_path.rglob("event_storage.log"))


def test_a_printing_loop_cannot_flood_the_log(tmp_path: Path) -> None:
    """Of 100 MB of lines the log takes a few thousand, says how many are missing, and has the last one."""
    summary = launch_straw(tmp_path, ["print_much", "succeed"], config={"megabytes": 100}, processes=2)
    assert summary.counts == Counts(succeeded=2)
    assert (summary.path / "event_storage.log").stat().st_size < 5_000_000
    said = messages(summary, 0)
    notices = [line for line in said if "were left out" in line]
    left_out = sum(int(line.split()[0].replace(",", "")) for line in notices)
    assert left_out + len(said) - len(notices) == 1_000_001
    assert said[-1] == "the last line"


def test_a_preload_that_fails_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    """The error names the module; the log has the traceback and an end whose counts add up."""
    code = WorkerCode(entry=CODE.entry, preload=("tests.execution.raises_on_import",), preload_if_installed=())
    with pytest.raises(RunError, match=r"`tests.execution.raises_on_import` cannot be imported"):
        launch_straw(tmp_path, ["succeed"], num_experiments=5, processes=2, code=code, run_id="broken")
    state = RunFolder(tmp_path, "broken").state()
    assert state.final_counts == {"succeeded": 0, "failed": 2, "interrupted": 0, "not_started": 3}
    assert any("no licence file" in line.message for line in state.recent_logs)


def test_a_preload_with_threads_says_why_it_is_slow(tmp_path: Path) -> None:
    """Experiments run in fresh interpreters, and the log says why."""
    code = WorkerCode(entry=CODE.entry, preload=("tests.execution.starts_thread",), preload_if_installed=())
    summary = launch_straw(tmp_path, ["succeed", "segfault", "succeed"], processes=2, code=code)
    assert summary.counts == Counts(succeeded=2, failed=1)
    assert any("forking is unsafe" in line for line in messages(summary, None))


def test_a_large_grid_is_not_materialised(tmp_path: Path) -> None:
    """A run over 100,000 experiments, all but a few skipped, asks for those alone."""
    skip = range(4, 100_000)
    summary = launch_straw(tmp_path, ["succeed"], num_experiments=100_000, skip=skip, processes=2)
    assert summary.counts == Counts(succeeded=4)
    assert sorted(path.name for path in summary.path.iterdir() if path.is_dir()) == ["0", "1", "2", "3"]


class Watching:
    """Keeps what it is shown, and leaves a file once it has seen something run."""

    def __init__(self, seen: Path) -> None:
        self.shown: list[dict[str, int]] = []
        self.times: list[float] = []
        self.seen = seen

    def update(self, state: RunState) -> None:
        self.shown.append({str(name): count for name, count in state.counts.items()})
        self.times.append(time.monotonic())
        if state.counts["running"]:
            self.seen.touch()


@pytest.mark.parametrize("executor", ["processes", "inline"])
def test_the_observer_sees_progress_and_the_end(executor: str, tmp_path: Path) -> None:
    """Updates come while experiments run, no more than five a second, and the last one has the final state."""
    watching = Watching(tmp_path / "seen")
    # In this process a start is always shown, and nothing while the experiment runs.
    entry = "wait_for_file" if executor == "processes" else "sleep"
    launch_straw(
        tmp_path / "storage",
        [entry],
        num_experiments=2,
        config={"seconds": 0.5, "until": str(watching.seen)},
        processes=1,
        observer=watching,
        executor=executor,
    )
    assert watching.shown[-1] == {"waiting": 0, "running": 0, "done": 2, "failed": 0, "interrupted": 0}
    assert any(counts["running"] for counts in watching.shown)
    assert len(watching.times) <= (watching.times[-1] - watching.times[0]) * 5 + 3


def test_a_run_from_another_thread(tmp_path: Path) -> None:
    """Outside the main thread no handler can be installed; the run works all the same."""
    before = signal.getsignal(signal.SIGINT)
    summaries: list[RunSummary] = []
    thread = threading.Thread(target=lambda: summaries.append(launch_straw(tmp_path, ["succeed"])))
    thread.start()
    thread.join()
    assert summaries[0].counts == Counts(succeeded=1)
    assert signal.getsignal(signal.SIGINT) == before


class Signalling:
    """Sends this process a signal once so many experiments run, and once more when all have said that they heard it.

    Two signals at once would be one.
    """

    def __init__(self, num_running: int, signum: int) -> None:
        self.num_running = num_running
        self.signum = signum
        self.num_sent = 0
        self.num_heard = 0

    def update(self, state: RunState) -> None:
        if self.num_sent == 0 and state.counts["running"] == self.num_running:
            self._send()

    def look(self, event: dict[str, Any]) -> bool:
        self.num_heard += event["payload"].get("message") == "asked to stop, and goes on"
        if self.num_sent == 1 and self.num_heard == self.num_running:
            self._send()
        return False

    def _send(self) -> None:
        self.num_sent += 1
        # Soon, and not in the middle of what shows the state.
        threading.Timer(0.1, os.kill, (os.getpid(), self.signum)).start()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("executor", ["processes", "inline"])
def test_one_signal_stops_at_a_step_boundary(executor: str, signum: int, tmp_path: Path) -> None:
    """Running experiments end as interrupted, others do not start, the former handlers are back, the code is 130."""
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    running = 1 if executor == "inline" else 2
    signalling = Signalling(running, signum)
    summary = launch_straw(tmp_path, ["sleep"], num_experiments=9, executor=executor, processes=2, observer=signalling)
    assert (summary.counts, summary.exit_code) == (Counts(interrupted=running, not_started=9 - running), 130)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == before
    state = state_of(summary)
    assert state.status == "interrupted"
    assert state.counts["interrupted"] == running
    assert "stopped at a step boundary" in messages(summary, 0)


@pytest.mark.parametrize("executor", ["processes", "inline"])
def test_who_watches_the_events_can_end_the_run(executor: str, tmp_path: Path) -> None:
    """The watcher sees each event once, in the order of the log; its word ends the run as a signal would."""
    seen: list[dict[str, Any]] = []

    def watch(event: dict[str, Any]) -> bool:
        seen.append(event)
        return (event["event_type"], event["payload"].get("status")) == ("job_status", "RUNNING")

    summary = launch_straw(tmp_path, ["sleep"], num_experiments=3, executor=executor, processes=1, on_event=watch)
    assert (summary.counts, summary.exit_code) == (Counts(interrupted=1, not_started=2), 130)
    logged = [(event["event_type"], event["payload"]) for event in events_of(summary)]
    beginning = ["run_started", "environment"]
    assert [(event["event_type"], event["payload"]) for event in seen] == logged[len(beginning) :]
    assert [event_type for event_type, _ in logged[: len(beginning)]] == beginning


@pytest.mark.parametrize("executor", ["processes", "inline"])
def test_a_second_signal_kills_at_once(executor: str, tmp_path: Path) -> None:
    """Experiments that do not stop are killed without waiting for the grace; they count as interrupted."""
    running = 1 if executor == "inline" else 2
    signalling = Signalling(running, signal.SIGINT)
    summary = launch_straw(
        tmp_path,
        ["ignore_stop"],
        num_experiments=5,
        executor=executor,
        processes=2,
        grace_s=FOR_EVER_S,
        observer=signalling,
        on_event=signalling.look,
    )
    assert signalling.num_sent == 2
    assert (summary.counts, summary.exit_code) == (Counts(interrupted=running, not_started=5 - running), 130)
    assert state_of(summary).counts["interrupted"] == running


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """The disk fills up during a run: no experiment is lost, none starts meanwhile, and it ends well afterwards."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this machine mounts no tmpfs")
    filler = disk / "filler"

    class Filling:
        """Fills the disk once something is done, and frees it once an experiment waits, 1.5 s later at the earliest."""

        full_since: float | None = None

        def update(self, state: RunState) -> None:
            if self.full_since is None and state.counts["done"] >= 2:
                with filler.open("wb", buffering=0) as file, suppress(OSError):
                    while True:
                        file.write(b"x" * 512)
                self.full_since = time.monotonic()
            elif self.full_since is not None and time.monotonic() - self.full_since > 1.5 and is_waited_for(state):
                filler.unlink(missing_ok=True)

    def is_waited_for(state: RunState) -> bool:
        return any("until there is space again" in line.message for line in state.recent_logs)

    try:
        filling = Filling()
        summary = launch_straw(
            disk, ["sleep"], num_experiments=12, config={"seconds": 0.3}, processes=2, observer=filling
        )
        assert filling.full_since is not None
        assert summary.counts == Counts(succeeded=12)
        state = state_of(summary)
        assert state.counts["done"] == 12
        assert is_waited_for(state)
        assert all((summary.path / str(number) / "experiment_config.json").exists() for number in range(12))
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_given_ids_and_wrong_options_are_refused(tmp_path: Path) -> None:
    """A run id that exists, and numbers out of range, are errors before anything starts."""
    launch_straw(tmp_path, ["succeed"], executor="inline", run_id="mine")
    with pytest.raises(RunError, match="`mine` exists already"):
        launch_straw(tmp_path, ["succeed"], executor="inline", run_id="mine")
    with pytest.raises(RunError, match="`threads` must be at least 1"):
        launch_straw(tmp_path, ["succeed"], threads=0)
    with pytest.raises(RunError, match="do not fit"):
        launch_straw(tmp_path, ["succeed"], devices=["cuda:0"], processes=2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
