"""A group of ranks under the fork server: every way to end, and what is told of it. No PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from mlgym.execution.job import Job
from mlgym.execution.processes.server_process import ServerSettings
from tests.execution.conftest import Processes
from tests.execution.handlers import make_job, poll_until, run_all

RESULTS = ["job_status:RUNNING", "evaluation_result", "evaluation_result", "evaluation_result", "job_status:DONE"]


def group_job(tmp_path: Path, *ranks: str, number: int = 0, **config: Any) -> Job:
    """A job whose ranks do what is named, in their order."""
    job = make_job("each", tmp_path, number, ranks=list(ranks), **config)
    return msgspec.structs.replace(
        job, entry="tests.execution.group.ranks:each", device="cpu", devices=["cpu"] * len(ranks)
    )


def test_rank_0_speaks_for_all_and_the_others_are_named(processes: Processes, tmp_path: Path) -> None:
    """Events come once, from rank 0; lines of other ranks say whose they are; the device says how many there are."""
    job = group_job(tmp_path, "speak", "speak", "speak")
    run_all(processes.executor, processes.handler, job)
    handler = processes.handler
    assert [each for each in handler.types(job.job_id) if each != "log"] == RESULTS
    done = handler.done(job.job_id)
    assert done is not None
    assert (done["error"], done["device"]) == (None, "cpu x3")
    lines = sorted(handler.output[job.job_id])
    assert lines == [
        ("stderr", "[rank 1] INFO user.code: logged"),
        ("stderr", "[rank 1] raw 1"),
        ("stderr", "[rank 2] INFO user.code: logged"),
        ("stderr", "[rank 2] raw 2"),
        ("stderr", "raw 0"),
        ("stdout", "[rank 1] rank 1 of 3 on cpu"),
        ("stdout", "[rank 2] rank 2 of 3 on cpu"),
        ("stdout", "rank 0 of 3 on cpu"),
    ]
    logs = [event["payload"]["message"] for event in handler.events[job.job_id] if event["event_type"] == "log"]
    assert logs == ["logged"]


@pytest.mark.parametrize(
    ("ranks", "error", "exit_signal", "said"),
    [
        (["sleep", "fail"], "rank 1: ValueError: the data is \\udcff odd", None, None),
        (["sleep", "leave"], "rank 1: SystemExit: 4", None, None),
        (["hang", "segfault"], "rank 1 was killed by SIGSEGV", "SIGSEGV", "about to read address 0"),
        (["hang", "kill_itself"], "rank 1 was killed by SIGKILL", "SIGKILL", "line 59"),
        (["kill_itself", "ignore_stop"], "rank 0 was killed by SIGKILL", "SIGKILL", "line 59"),
        (["sleep", "exit_at_once"], "rank 1 exited with code 3 without finishing", None, None),
    ],
)
def test_a_failed_rank_fails_the_job_with_its_own_error(
    ranks: list[str], error: str, exit_signal: str | None, said: str | None, processes: Processes, tmp_path: Path
) -> None:
    """Its error, traceback, signal and last lines are told; the other ranks, which would go on or hang, are ended."""
    told_as(processes, group_job(tmp_path, *ranks), error, exit_signal, said)


@pytest.fixture(scope="module")
def patient() -> Iterator[Processes]:
    """An executor whose workers wait until all ranks have ended, however busy the machine is."""
    made = Processes(ServerSettings(preload=("tests.execution.group.patient",), preload_if_installed=()))
    yield made
    made.executor.close()


@pytest.mark.parametrize(
    ("ranks", "error", "exit_signal", "said"),
    [
        (["fail", "fail"], "ValueError: the data is \\udcff odd", None, None),
        (["lose_connection", "die_after_others_noticed"], "rank 1 was killed by SIGKILL", "SIGKILL", "my last words"),
        (["lose_connection", "fail_later"], "rank 1: ValueError: the cause", None, None),
    ],
)
def test_of_several_failures_the_cause_is_told(
    ranks: list[str], error: str, exit_signal: str | None, said: str | None, patient: Processes, tmp_path: Path
) -> None:
    """Not that of a rank which lost its connection; what all say is nobody's own."""
    patient.handler.forget()
    told_as(patient, group_job(tmp_path, *ranks), error, exit_signal, said)


def told_as(processes: Processes, job: Job, error: str, exit_signal: str | None, said: str | None) -> None:
    run_all(processes.executor, processes.handler, job)
    done = processes.handler.done(job.job_id)
    assert done is not None
    assert (done["error"], done["exit_signal"], done["interrupted"]) == (error, exit_signal, False)
    assert (done["stacktrace"] is not None) == (": " in error)
    if said is not None:
        assert said in done["log_tail"]
    if exit_signal == "SIGSEGV":
        assert any("in segfault" in line for line in done["log_tail"])  # the Python line of the crash
    assert processes.handler.exits[job.job_id].code == 1


def test_without_a_moment_to_settle_the_wrong_rank_would_be_blamed(tmp_path: Path) -> None:
    """The control: the first error to arrive is that of a rank which only lost its connection."""
    hasty = Processes(ServerSettings(preload=("tests.execution.group.hasty",), preload_if_installed=()))
    try:
        job = group_job(tmp_path, "lose_connection", "die_after_others_noticed", after_s=60)
        run_all(hasty.executor, hasty.handler, job)
    finally:
        hasty.executor.close()
    assert str((hasty.handler.done(job.job_id) or {}).get("error")).startswith("rank 0: RuntimeError: [/pytorch")


@pytest.mark.parametrize(("reason", "interrupted"), [("interrupt", True), ("time_limit", False)])
def test_a_stop_reaches_every_rank(reason: Any, interrupted: bool, processes: Processes, tmp_path: Path) -> None:
    """All end at their next step boundary and say so; what ended for the time failed, the other was interrupted."""
    job = group_job(tmp_path, "sleep", "sleep")
    processes.executor.submit(job)
    poll_until(processes.executor, lambda: "job_status:RUNNING" in processes.handler.types(job.job_id))
    processes.executor.stop(job.job_id, reason)
    poll_until(processes.executor, lambda: job.job_id in processes.handler.exits)
    done = processes.handler.done(job.job_id)
    assert done is not None
    assert done["interrupted"] is interrupted
    assert ("time limit" in done["error"]) is not interrupted
    said = [line for _, line in processes.handler.output[job.job_id]]
    assert sorted(said) == ["[rank 1] stopped at a step boundary", "stopped at a step boundary"]


def test_ranks_start_from_a_fresh_interpreter_too(tmp_path: Path) -> None:
    """Where the server may not be forked, the worker is a fresh interpreter, and its ranks are forked from that."""
    unsafe = Processes(ServerSettings(preload=("tests.execution.starts_thread",), preload_if_installed=()))
    try:
        job = group_job(tmp_path, "speak", "speak")
        run_all(unsafe.executor, unsafe.handler, job)
    finally:
        unsafe.executor.close()
    assert any("fresh interpreters" in note for _, note in unsafe.handler.notes)
    assert (unsafe.handler.done(job.job_id) or {}).get("error", "never ended") is None


def test_what_ranks_started_ends_with_their_worker(processes: Processes, tmp_path: Path) -> None:
    """Children of ranks that hang, and daemons that left their group, end with a killed worker."""
    children = tmp_path / "children"
    job = group_job(tmp_path, "leave_children_and_hang", "leave_children_and_hang", children=str(children))
    processes.executor.submit(job)
    poll_until(processes.executor, lambda: children.exists() and children.read_text() == "here\nhere\n")
    pids = [int(pid) for rank in "01" for pid in Path(f"{children}{rank}").read_text().split()]
    family = [psutil.Process(pid) for pid in pids]
    assert len(family) == 6  # two ranks, a child and a daemon of each
    family[0].parent().kill()
    poll_until(processes.executor, lambda: job.job_id in processes.handler.exits)
    assert psutil.wait_procs(family, timeout=60)[1] == []
