"""The executor on a real cluster: whatever a job does, its caller is told as by any other executor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.execution.handlers import make_job
from tests.execution.ray.clusters import LoopbackCluster, OnCluster, is_alive, poll_until, run_all
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def shared(cluster: LoopbackCluster) -> Iterator[OnCluster]:
    """One executor for all tests that leave it whole."""
    made = OnCluster(cluster)
    yield made
    made.executor.close()


@pytest.fixture
def on_cluster(shared: OnCluster) -> OnCluster:
    """The shared executor, with a handler that knows nothing yet."""
    shared.handler.forget()
    return shared


def test_events_and_lines_come_once_in_order_and_with_the_exit(on_cluster: OnCluster, tmp_path: Path) -> None:
    """What a job tells is complete and in order when its end is told."""
    run_all(on_cluster.executor, on_cluster.handler, make_job("succeed", tmp_path, epochs=300))
    told = on_cluster.handler
    assert told.types("run-0") == ["job_status:RUNNING", *["evaluation_result"] * 300, "job_status:DONE"]
    assert [event["seq"] for event in told.events["run-0"]] == list(range(302))
    assert told.exits["run-0"].code == 0
    assert told.started == ["run-0"]
    assert any("experiment 0 runs on node 127.0.0." in message for _, message in told.notes)


def test_a_job_that_talks_more_than_fits_waits_and_loses_nothing(on_cluster: OnCluster, tmp_path: Path) -> None:
    """Megabytes of lines arrive whole, though they are cut into chunks on their way."""
    run_all(on_cluster.executor, on_cluster.handler, make_job("print_much", tmp_path, megabytes=3))
    lines = [line for _, line in on_cluster.handler.output["run-0"]]
    assert len(lines) == 30_001
    assert {len(line) for line in lines[:-1]} == {99}
    assert lines[-1] == "the last line"


def test_every_way_to_die_is_told_as_at_home(on_cluster: OnCluster, tmp_path: Path) -> None:
    """Error, exit code, signal and last lines are those of the experiment's own process, and others go on."""
    entries = ["fail", "exit_at_once", "segfault", "kill_itself", "speak"]
    jobs = [make_job(entry, tmp_path, number) for number, entry in enumerate(entries)]
    run_all(on_cluster.executor, on_cluster.handler, *jobs)
    told = on_cluster.handler
    done = told.done("run-0")
    assert done is not None
    assert "the data is" in done["error"]
    assert "while building components.data" in done["stacktrace"]
    assert told.exits["run-1"].code == 3
    assert told.exits["run-2"].signal_name == "SIGSEGV"
    assert ("stdout", "about to read address 0") in told.output["run-2"]
    assert told.exits["run-3"].signal_name == "SIGKILL"
    assert told.output["run-3"][-1] == ("stdout", "line 59")
    assert {"printed", "100 %", "no end of line"} <= {line for _, line in told.output["run-4"]}
    assert not any(ended.lost for ended in told.exits.values())


def test_a_stop_reaches_the_next_step_and_a_kill_does_not_wait(on_cluster: OnCluster, tmp_path: Path) -> None:
    """A job asked to stop ends itself and says why; one that does not listen is killed with what it started."""
    waiting, limited, deaf = (
        make_job("sleep", tmp_path, 0),
        make_job("sleep", tmp_path, 1),
        make_job("leave_children", tmp_path, 2, children=str(tmp_path / "children"), wait=True),
    )
    for job in (waiting, limited, deaf):
        on_cluster.executor.submit(job)
    told = on_cluster.handler
    poll_until(on_cluster.executor, lambda: len(told.started) == 3 and (tmp_path / "children").exists())
    poll_until(on_cluster.executor, lambda: len(told.events) == 3)
    on_cluster.executor.stop("run-0", "interrupt")
    on_cluster.executor.stop("run-1", "time_limit")
    on_cluster.executor.kill("run-2")
    poll_until(on_cluster.executor, lambda: len(told.exits) == 3)
    stopped, late = told.done("run-0"), told.done("run-1")
    assert stopped is not None
    assert late is not None
    assert stopped["interrupted"]
    assert late["error"] == "exceeded its time limit of 500 s"
    assert told.exits["run-2"].signal_name == "SIGKILL"
    wait_for(lambda: not any(is_alive(int(pid)) for pid in (tmp_path / "children").read_text().split()))


def test_jobs_beyond_the_cluster_wait_and_can_be_stopped_there(on_cluster: OnCluster, tmp_path: Path) -> None:
    """A job for which there is no room yet never starts when it is stopped."""
    jobs = [make_job("sleep", tmp_path, number) for number in range(5)]
    for job in jobs:
        on_cluster.executor.submit(job)
    told = on_cluster.handler
    poll_until(on_cluster.executor, lambda: len(told.started) == 4)
    (waiting,) = {job.job_id for job in jobs} - set(told.started)
    for job in jobs:
        on_cluster.executor.stop(job.job_id, "interrupt")
    poll_until(on_cluster.executor, lambda: len(told.exits) == 5)
    assert told.exits[waiting].reason == "was stopped before it started"
    assert not told.exits[waiting].lost
    assert told.events[waiting] == []


def test_processes_are_fresh_though_those_of_ray_are_used_again(on_cluster: OnCluster, tmp_path: Path) -> None:
    """Each job has a process of its own, with the variables and the folder that it would have at home."""
    jobs = [make_job("report_process", tmp_path, number) for number in range(6)]
    run_all(on_cluster.executor, on_cluster.handler, *jobs)
    lines = {job.job_id: [line for _, line in on_cluster.handler.output[job.job_id]] for job in jobs}
    pids = {each[0].split()[0] for each in lines.values()}
    assert len(pids) == 6
    assert {each[0].split()[3] for each in lines.values()} == {"True"}
    assert {each[1] for each in lines.values()} == {"0 1 1 :4096:8"}


def test_a_node_without_the_run_folder_has_one_for_a_while_where_checkpoints_go_elsewhere(
    on_cluster: OnCluster, tmp_path: Path
) -> None:
    """With a place for checkpoints no file system need be shared, and nothing is left on the node."""
    seen = make_job("report_folder", tmp_path, 0)
    unseen = msgspec.structs.replace(
        make_job("report_folder", tmp_path / "elsewhere", 1), checkpoint_place=f"file://{tmp_path}/place"
    )
    run_all(on_cluster.executor, on_cluster.handler, seen, unseen)
    (_, own), (_, other) = (on_cluster.handler.output[f"run-{number}"][0] for number in range(2))
    assert own == str(tmp_path)
    assert (tmp_path / "left").exists()
    assert Path(other).name.startswith("mlgym-run-")
    wait_for(lambda: not Path(other).exists())
    assert not (tmp_path / "elsewhere").exists()
