"""A process per job: every way to end, and what is told of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from mlgym.errors import RunError
from mlgym.execution.job import Exit
from mlgym.execution.processes.server_process import ServerSettings
from tests.execution.conftest import Processes
from tests.execution.handlers import make_job, poll_until, run_all

RESULTS = ["job_status:RUNNING", "evaluation_result", "evaluation_result", "evaluation_result"]


def test_every_way_to_end_costs_only_its_own_job(processes: Processes, tmp_path: Path) -> None:
    """Jobs that raise, exit, crash or are killed end as what they are; those beside them succeed."""
    ends = {
        "fail": Exit(code=1),
        "leave": Exit(code=1),
        "segfault": Exit(signal=signal.SIGSEGV),
        "exit_at_once": Exit(code=3),
        "kill_itself": Exit(signal=signal.SIGKILL),
    }
    entries = [entry for bad in ends for entry in (bad, "succeed")]
    jobs = [make_job(entry, tmp_path, number) for number, entry in enumerate(entries)]
    run_all(processes.executor, processes.handler, *jobs)
    for job in jobs:
        ended, entry = processes.handler.exits[job.job_id], job.entry.partition(":")[2]
        expected = ends.get(entry, Exit(code=0))
        assert (ended.code, ended.signal, ended.reason) == (expected.code, expected.signal, None), entry
        if entry == "succeed":
            assert processes.handler.types(job.job_id) == [*RESULTS, "job_status:DONE"]
    assert processes.handler.notes == []


def test_what_a_worker_said_before_it_died_is_kept(processes: Processes, tmp_path: Path) -> None:
    """Events and lines from before a SIGKILL or `os._exit` all arrive, and before the exit is told."""
    killed, gone, crashed = (
        make_job(entry, tmp_path, number) for number, entry in enumerate(["kill_itself", "exit_at_once", "segfault"])
    )
    run_all(processes.executor, processes.handler, killed, gone, crashed)
    handler = processes.handler
    assert handler.types(killed.job_id) == handler.types(gone.job_id) == RESULTS
    assert [line for _, line in handler.output[killed.job_id]] == [f"line {number}" for number in range(60)]
    stderr = "\n".join(line for stream, line in handler.output[crashed.job_id] if stream == "stderr")
    assert "Segmentation fault" in stderr
    assert "in segfault" in stderr  # the Python line of the crash
    assert ("stdout", "about to read address 0") in handler.output[crashed.job_id]


def test_an_error_is_told_with_its_notes_and_traceback(processes: Processes, tmp_path: Path) -> None:
    """DONE has the error as `Type: message` and the traceback with notes; text that UTF-8 cannot carry is escaped."""
    job, left = make_job("fail", tmp_path), make_job("leave", tmp_path, 1)
    run_all(processes.executor, processes.handler, job, left)
    done = processes.handler.done(job.job_id)
    assert done is not None
    assert done["error"] == "ValueError: the data is \\udcff odd"
    assert "in fail" in done["stacktrace"]
    assert "while building components.data" in done["stacktrace"]
    assert done["starting_time"] <= done["finishing_time"]
    assert (processes.handler.done(left.job_id) or {})["error"] == "SystemExit: 4"


def test_everything_said_arrives(processes: Processes, tmp_path: Path) -> None:
    """Print, C code, logging, warnings, progress bars and an unfinished last line arrive where they belong."""
    job = make_job("speak", tmp_path)
    run_all(processes.executor, processes.handler, job)
    output = processes.handler.output[job.job_id]
    stdout = [line for stream, line in output if stream == "stdout"]
    # What Python prints goes the way of the events, what others write another: each is in order, not one to the other.
    assert [line for line in stdout if "by C" not in line] == ["printed", "100 %", "no end of line"]
    assert [line for line in stdout if "by C" in line] == ["written by C \\xff"]
    assert [line for stream, line in output if stream == "stderr"] == ["printed to stderr"]
    logs = [event["payload"] for event in processes.handler.events[job.job_id] if event["event_type"] == "log"]
    assert [(log["level"], log["logger"]) for log in logs] == [("info", "user.code"), ("warning", "py.warnings")]
    assert logs[0]["message"] == "logged 7"
    assert "UserWarning: warned" in logs[1]["message"]


def test_a_worker_starts_clean(processes: Processes, tmp_path: Path) -> None:
    """It leads a session and group of its own, has default signal handlers and only the descriptors it needs."""
    job = make_job("report_process", tmp_path)
    run_all(processes.executor, processes.handler, job)
    first, second = (line for _, line in processes.handler.output[job.job_id])
    ids, _, rest = first.partition(" True ")
    assert len(set(ids.split())) == 1
    descriptors = rest.strip("[]").split(", ")
    assert len(descriptors) <= 5, descriptors  # three standard ones, the event pipe, and the folder being listed
    assert second.split()[1:] == ["1", "1", ":4096:8"]


def test_environment_of_workers() -> None:
    """Threads are set whatever the user's own setting; the hash seed is 0 unless the user has one."""
    from mlgym.execution.launcher import worker_environment

    given = worker_environment(2, {"OMP_NUM_THREADS": "16", "PYTHONHASHSEED": "5", "HOME": "/root"})
    assert (given["OMP_NUM_THREADS"], given["MKL_NUM_THREADS"], given["OPENBLAS_NUM_THREADS"]) == ("2", "2", "1")
    assert (given["PYTHONHASHSEED"], given["HOME"]) == ("5", "/root")
    assert worker_environment(1, {})["PYTHONHASHSEED"] == "0"
    allocator = worker_environment(1, {"JE_ARROW_MALLOC_CONF": "narenas:2"})["JE_ARROW_MALLOC_CONF"]
    assert allocator == "narenas:2,background_thread:false"


def test_pyarrow_starts_no_thread_in_workers() -> None:
    """scikit-learn imports it where pandas is installed too: with its thread, nothing could be forked (control)."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from mlgym.execution.launcher import worker_environment

    program = "import pyarrow; from mlgym.execution.linux import num_threads; print(num_threads())"
    with_it = worker_environment(1)
    without_it = {name: value for name, value in with_it.items() if name != "JE_ARROW_MALLOC_CONF"}
    counts = [
        int(subprocess.run([sys.executable, "-c", program], env=each, capture_output=True, check=True).stdout)
        for each in (with_it, without_it)
    ]
    assert counts[0] == 1 < counts[1]


def test_stop_lets_a_job_end_at_a_step_boundary(processes: Processes, tmp_path: Path) -> None:
    """SIGTERM ends it as interrupted, the time limit's signal as failed with the limit in its error."""
    interrupted, too_long = make_job("sleep", tmp_path, 0), make_job("sleep", tmp_path, 1)
    handler, executor = processes.handler, processes.executor
    for job in (interrupted, too_long):
        executor.submit(job)
    poll_until(executor, lambda: len(handler.events) == 2)
    executor.stop(interrupted.job_id, "interrupt")
    executor.stop(too_long.job_id, "time_limit")
    poll_until(executor, lambda: len(handler.exits) == 2)
    first, second = handler.done(interrupted.job_id), handler.done(too_long.job_id)
    assert first is not None
    assert second is not None
    assert (first["interrupted"], first["error"]) == (True, "interrupted")
    assert (second["interrupted"], second["error"]) == (False, "exceeded its time limit of 500 s")
    assert ("stdout", "stopped at a step boundary") in handler.output[interrupted.job_id]


def test_a_job_that_hangs_in_c_does_not_stop_but_can_be_killed(processes: Processes, tmp_path: Path) -> None:
    """With the GIL held no handler runs: SIGTERM changes nothing, SIGKILL ends it."""
    job = make_job("hang", tmp_path)
    processes.executor.submit(job)
    poll_until(processes.executor, lambda: processes.handler.events[job.job_id])
    processes.executor.stop(job.job_id, "interrupt")
    for _ in range(3):
        processes.executor.poll(0.1)
    assert processes.handler.exits == {}
    processes.executor.kill(job.job_id)
    poll_until(processes.executor, lambda: processes.handler.exits)
    assert processes.handler.exits[job.job_id].signal == signal.SIGKILL


def test_what_a_worker_started_ends_with_it(processes: Processes, tmp_path: Path) -> None:
    """Children and daemons with a session of their own are gone when the exit is told, after any kind of end."""
    well, badly = tmp_path / "well", tmp_path / "badly"
    first = make_job("leave_children", tmp_path, 0, children=str(well))
    second = make_job("leave_children", tmp_path, 1, children=str(badly), wait=True)
    run_all(processes.executor, processes.handler, first)
    processes.executor.submit(second)
    poll_until(processes.executor, lambda: badly.exists() and len(badly.read_text().split()) == 3)
    ids = [int(pid) for pid in badly.read_text().split()]
    assert all(psutil.pid_exists(pid) for pid in ids)  # the control: they do live without an end
    processes.executor.kill(second.job_id)
    poll_until(processes.executor, lambda: len(processes.handler.exits) == 2)
    ids += [int(pid) for pid in well.read_text().split()]
    poll_until(processes.executor, lambda: not any(map(psutil.pid_exists, ids)))


def test_a_job_can_be_stopped_before_it_starts(tmp_path: Path) -> None:
    """While the server still imports, a stopped job ends at once without ever running."""
    slow = Processes(ServerSettings(preload=("tests.execution.slow_to_import",), preload_if_installed=()))
    job = make_job("succeed", tmp_path)
    slow.executor.submit(job)
    slow.executor.stop(job.job_id, "interrupt")
    slow.executor.poll(0.1)
    assert slow.handler.exits[job.job_id].reason == "was stopped before it started"
    slow.executor.close()


def test_printing_without_end_does_not_starve_the_others(processes: Processes, tmp_path: Path) -> None:
    """While one job prints 20 MB, another one's events are seen in time; every line of the first arrives."""
    loud, quiet = make_job("print_much", tmp_path, 0, megabytes=20), make_job("succeed", tmp_path, 1)
    processes.executor.submit(loud)
    processes.executor.submit(quiet)
    poll_until(processes.executor, lambda: quiet.job_id in processes.handler.exits)
    poll_until(processes.executor, lambda: loud.job_id in processes.handler.exits)
    lines = processes.handler.output[loud.job_id]
    assert len(lines) == 200_001
    assert lines[-1] == ("stdout", "the last line")


@pytest.mark.parametrize(
    ("module", "error"),
    [
        ("tests.execution.no_such_module", "ModuleNotFoundError: No module named 'tests.execution.no_such_module'"),
        ("tests.execution.raises_on_import", "RuntimeError: no licence file"),
        ("tests.execution.exits_on_import", "SystemExit: 3"),
    ],
)
def test_a_preload_that_fails_is_told(module: str, error: str, tmp_path: Path) -> None:
    """A module that is missing, raises or exits ends the executor with its error; waiting jobs are told so."""
    made = Processes(ServerSettings(preload=(module,), preload_if_installed=()))
    job = make_job("succeed", tmp_path)
    made.executor.submit(job)
    with pytest.raises(RunError, match=f"`{module}` cannot be imported for the workers: {error}"):
        poll_until(made.executor, lambda: False)
    assert "was never started" in (made.handler.exits[job.job_id].reason or "")
    assert "Traceback" in made.handler.notes[0][1]
    with pytest.raises(RunError, match="cannot be imported"):
        made.executor.submit(job)
    made.executor.close()


def test_a_preload_that_kills_the_server_is_named(tmp_path: Path) -> None:
    """A module that crashes the interpreter is named in the error, with the signal; what it printed is told."""
    made = Processes(ServerSettings(preload=("tests.execution.crashes_on_import",), preload_if_installed=()))
    with pytest.raises(RunError, match=r"was killed by SIGSEGV while it imported `tests.execution.crashes_on_import`"):
        poll_until(made.executor, lambda: False)
    assert made.handler.output[None] == [("stdout", "about to crash")]
    made.executor.close()


def test_optional_preloads_may_be_missing_or_broken(tmp_path: Path) -> None:
    """A missing optional module is nothing to speak of, a broken one is a warning; jobs run all the same."""
    settings = ServerSettings(
        preload=("tests.execution.jobs",),
        preload_if_installed=("no_such_package", "tests.execution.raises_on_import"),
    )
    made = Processes(settings)
    job = make_job("succeed", tmp_path)
    run_all(made.executor, made.handler, job)
    assert made.handler.exits[job.job_id].code == 0
    assert made.handler.notes == [("warning", "not preloaded: RuntimeError: no licence file")]
    made.executor.close()


def test_a_preload_with_threads_makes_fresh_interpreters(tmp_path: Path) -> None:
    """With a thread in the server nothing is forked: jobs run in fresh interpreters, and the reason is told once."""
    settings = ServerSettings(preload=("tests.execution.starts_thread",), preload_if_installed=())
    made = Processes(settings)
    children = tmp_path / "children"
    well, bad, killed = (
        make_job("succeed", tmp_path, 0),
        make_job("fail", tmp_path, 1),
        make_job("segfault", tmp_path, 2),
    )
    leaving = make_job("leave_children", tmp_path, 3, children=str(children))
    run_all(made.executor, made.handler, well, bad, killed, leaving)
    assert made.handler.types(well.job_id) == [*RESULTS, "job_status:DONE"]
    assert (made.handler.done(bad.job_id) or {})["error"].startswith("ValueError")
    assert made.handler.exits[killed.job_id].signal == signal.SIGSEGV
    poll_until(made.executor, lambda: not any(psutil.pid_exists(int(pid)) for pid in children.read_text().split()))
    (note,) = made.handler.notes
    assert "importing `tests.execution.starts_thread` has started threads (" in note[1]
    made.executor.close()


def test_a_preload_that_spoils_cuda_makes_fresh_interpreters(tmp_path: Path) -> None:
    """Where PyTorch would refuse CUDA in forked children, none are: else each experiment on a GPU would fail."""
    made = Processes(ServerSettings(preload=("tests.execution.spoils_cuda",), preload_if_installed=()))
    job = make_job("succeed", tmp_path, 0)
    run_all(made.executor, made.handler, job)
    assert made.handler.types(job.job_id) == [*RESULTS, "job_status:DONE"]
    (note,) = made.handler.notes
    assert "forking is unsafe: an imported module has looked for GPUs through the CUDA runtime" in note[1]
    made.executor.close()


def test_a_lost_server_is_replaced_once(own_processes: Processes, tmp_path: Path) -> None:
    """What ran under a killed server is lost with that reason and its children; later jobs run on a new one."""
    children = tmp_path / "children"
    lost = make_job("leave_children", tmp_path, 0, children=str(children), wait=True)
    executor, handler = own_processes.executor, own_processes.handler
    executor.submit(lost)
    poll_until(executor, lambda: children.exists() and len(children.read_text().split()) == 3)
    os.kill(executor.server_pid, signal.SIGKILL)
    later = make_job("succeed", tmp_path, 1)
    executor.submit(later)
    poll_until(executor, lambda: len(handler.exits) == 2)
    assert handler.exits[lost.job_id].reason == "was lost: the fork server was killed by SIGKILL"
    assert handler.exits[later.job_id].code == 0
    # The daemon, too, which is in no group and no family of theirs any more.
    poll_until(executor, lambda: not any(psutil.pid_exists(int(pid)) for pid in children.read_text().split()))
    os.kill(executor.server_pid, signal.SIGKILL)
    with pytest.raises(RunError, match="for the second time"):
        poll_until(executor, lambda: False)


def test_close_ends_everything(tmp_path: Path) -> None:
    """Closing kills running jobs and the server, tells the ends, and can be repeated."""
    made = Processes()
    running = make_job("hang", tmp_path, 0)
    made.executor.submit(running)
    poll_until(made.executor, lambda: made.handler.events[running.job_id])
    server = psutil.Process(made.executor.server_pid)
    family = [server, *server.children(recursive=True)]
    assert len(family) == 2
    made.executor.close()
    made.executor.close()
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert made.handler.exits[running.job_id].reason == "was killed because its run ended"
    with pytest.raises(RunError, match="closed"):
        made.executor.submit(running)


def test_edited_code_is_never_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two executors of one Python process, with the user's module edited in between, run the two versions."""
    module = tmp_path / "edited_module.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    said = []
    for number, text in enumerate(["first version", "second"]):
        module.write_text(f"def run(job, sink, stop):\n    print({text!r})\n")
        made = Processes(ServerSettings(preload=("edited_module",), preload_if_installed=()))
        job = make_job("succeed", tmp_path, number)
        job = msgspec.structs.replace(job, entry="edited_module:run")
        run_all(made.executor, made.handler, job)
        said += [line for _, line in made.handler.output[job.job_id]]
        made.executor.close()
    assert said == ["first version", "second"]


def test_descriptors_and_children_do_not_pile_up(processes: Processes, tmp_path: Path) -> None:
    """No job leaves one in the driver or the server, beside what other tests may have there, nor a dead child."""
    run_all(processes.executor, processes.handler, make_job("succeed", tmp_path, 0))
    family = psutil.Process(), psutil.Process(processes.executor.server_pid)
    before = [each.num_fds() for each in family]
    jobs = [make_job("succeed", tmp_path, number) for number in range(1, 40)]
    run_all(processes.executor, processes.handler, *jobs)
    more = [each.num_fds() - num_fds for each, num_fds in zip(family, before, strict=True)]
    assert max(more) < len(jobs) // 2, more
    assert family[1].children() == []


def test_light_modules_import_no_torch() -> None:
    """The fork server, the executor and the scheduler start without PyTorch."""
    import subprocess
    import sys

    code = (
        "import sys, mlgym.execution.processes.forkserver, mlgym.execution.processes.executor;"
        "import mlgym.execution.scheduler;"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
