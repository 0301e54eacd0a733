"""Jobs as tasks of a cluster: arrays, requeueing, ends of every kind. The cluster is fake, its tasks are processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

import mlgym
from mlgym.errors import RunError
from mlgym.events import DataFingerprint, JobStatus, Producer, encode
from mlgym.execution.job import Exit, Job
from mlgym.execution.slurm import JobFolder, SlurmExecutor, SlurmSettings, TaskSetup
from mlgym.execution.slurm.settings import Options
from mlgym.execution.slurm.spool import SpoolSink
from mlgym.execution.slurm.task import Task, known_data
from tests.execution.handlers import Keeping, poll_until, run_all
from tests.execution.slurm.conftest import Cluster
from tests.execution.slurm.jobs import allow

LIGHT = TaskSetup(preload=["tests.execution.slurm.jobs"], preload_if_installed=[])


class Slurm:
    """An executor with the handler that keeps what it tells."""

    def __init__(self, run_dir: Path, options: Options, capacity: int = 4) -> None:
        self.handler = Keeping()
        self.folder = JobFolder(run_dir)
        settings = SlurmSettings.of({"poll_every_s": "0.2", **options}, num_slots=capacity, device="cpu", name="straw")
        self.is_written = True
        self.executor = SlurmExecutor(
            self.handler, self.folder, settings, LIGHT, capacity=capacity, is_written=lambda: self.is_written
        )

    def epochs(self, job_id: str) -> list[int]:
        """The epochs that results came of, in their order."""
        events = self.handler.events[job_id]
        return [event["payload"]["epoch"] for event in events if event["event_type"] == "evaluation_result"]

    def until(self, condition: Any) -> None:
        poll_until(self.executor, condition)


@pytest.fixture
def slurm(cluster: Cluster, tmp_path: Path) -> Iterator[Slurm]:
    """An executor on the fake cluster."""
    (tmp_path / "run").mkdir()
    made = Slurm(tmp_path / "run", {})
    yield made
    made.executor.close()


def a_job(run_dir: Path, number: int = 0, entry: str = "count", **config: Any) -> Job:
    """A job that runs a function of `tests.execution.slurm.jobs`."""
    return Job(
        run_id="run",
        experiment_id=number,
        job_id=f"run-{number}",
        run_dir=str(run_dir),
        config={"epochs": 3, **config},
        entry=f"tests.execution.slurm.jobs:{entry}",
    )


def test_jobs_that_are_there_together_are_one_array(slurm: Slurm, cluster: Cluster) -> None:
    """Three jobs are one `sbatch`; every event comes whole, in its order; nothing is pickled, and nothing is left."""
    jobs = [a_job(slurm.folder.run_dir, number) for number in range(3)]
    run_all(slurm.executor, slurm.handler, *jobs)
    assert cluster.tasks() == ["1_0", "1_1", "1_2"]
    assert "#SBATCH --array=0-2%3" in cluster.script(1)
    for job in jobs:
        assert slurm.handler.exits[job.job_id].code == 0
        assert slurm.handler.exits[job.job_id].max_rss_bytes > 2**20
        types = slurm.handler.types(job.job_id)
        assert types == ["job_status:RUNNING", *["evaluation_result"] * 3, "job_status:DONE"]
        assert slurm.epochs(job.job_id) == [0, 1, 2]
    assert not list(slurm.folder.path.rglob("*.pkl"))
    slurm.executor.poll(0)
    assert not list((slurm.folder.path / "spool").iterdir())
    assert not list((slurm.folder.path / "jobs").iterdir())


@pytest.mark.slow
def test_spools_stand_until_the_log_has_them(slurm: Slurm) -> None:
    """Where the log cannot be written, a driver that dies now would find everything in the spool."""
    slurm.is_written = False
    run_all(slurm.executor, slurm.handler, a_job(slurm.folder.run_dir))
    slurm.executor.poll(0)
    assert len(slurm.folder.spools("run-0")) == 1
    slurm.is_written = True
    slurm.executor.poll(0)
    assert slurm.folder.spools("run-0") == []


def test_a_task_that_is_warned_goes_back_into_the_queue_and_on(slurm: Slurm, cluster: Cluster) -> None:
    """SIGUSR2: a checkpoint, then the next attempt of the same job; each result once, in order, over both starts."""
    run_dir = slurm.folder.run_dir
    allow(run_dir, 2)
    slurm.executor.submit(a_job(run_dir, epochs=5))
    slurm.until(lambda: slurm.epochs("run-0") == [0, 1])
    cluster.refuse("full")
    cluster.call("scancel", "--signal=USR2", "1_0")
    slurm.until(lambda: "job_status:INIT" in slurm.handler.types("run-0"))
    assert "run-0" not in slurm.handler.exits
    slurm.until(lambda: cluster.tasks("PENDING") == ["1_0"])
    allow(run_dir, 5)
    cluster.relent("full")
    slurm.until(lambda: "run-0" in slurm.handler.exits)
    assert slurm.epochs("run-0") == [0, 1, 2, 3, 4]
    statuses = [each["payload"] for each in slurm.handler.events["run-0"] if each["event_type"] == "job_status"]
    told = [(each["status"], each["attempt"], each["error"]) for each in statuses]
    assert told == [("RUNNING", 0, None), ("INIT", 1, None), ("RUNNING", 1, None), ("DONE", 1, None)]


@pytest.mark.slow
def test_where_slurm_does_not_requeue_the_driver_may_submit_again(slurm: Slurm, cluster: Cluster) -> None:
    """A task that made room and was not started again is lost, not failed: what it saved is there."""
    cluster.refuse("no_requeue")
    allow(slurm.folder.run_dir, 1)
    slurm.executor.submit(a_job(slurm.folder.run_dir))
    slurm.until(lambda: slurm.epochs("run-0") == [0])
    cluster.call("scancel", "--signal=USR2", "1_0")
    slurm.until(lambda: "run-0" in slurm.handler.exits)
    assert slurm.handler.exits["run-0"].lost
    assert slurm.handler.done("run-0") is None


@pytest.mark.slow
def test_without_a_step_further_it_does_not_go_back_for_ever(slurm: Slurm, cluster: Cluster) -> None:
    """An experiment whose time is too short for a step, two times in a row, fails and says what to change."""
    allow(slurm.folder.run_dir, 1)
    slurm.executor.submit(a_job(slurm.folder.run_dir, barren=True))
    for attempt in (1, 2):
        slurm.until(lambda attempt=attempt: slurm.epochs("run-0") == [0] * attempt)
        cluster.call("scancel", "--signal=USR2", "1_0")
    slurm.until(lambda: "run-0" in slurm.handler.exits)
    done = slurm.handler.done("run-0")
    assert done is not None
    assert "--slurm time=" in done["error"]


def test_a_killed_experiment_costs_its_unfinished_line_only(slurm: Slurm) -> None:
    """Killed in the middle of a line: what came before stands, the torn rest is no event, the signal is told."""
    run_all(slurm.executor, slurm.handler, a_job(slurm.folder.run_dir, entry="tear"))
    assert slurm.epochs("run-0") == [0, 1, 2]
    assert slurm.handler.exits["run-0"].signal == signal.SIGKILL
    assert slurm.handler.done("run-0") is None


@pytest.mark.slow
def test_a_killed_task_ends_its_experiment(slurm: Slurm, cluster: Cluster) -> None:
    """Where the task itself is killed, nothing of it lives on, and the driver hears of it from SLURM."""
    allow(slurm.folder.run_dir, 1)
    slurm.executor.submit(a_job(slurm.folder.run_dir))
    slurm.until(lambda: slurm.epochs("run-0") == [0])
    pid = int((cluster.root / "1_0.step").read_text())
    family = psutil.Process(pid).children(recursive=True)
    assert len(family) >= 2  # fork server, experiment
    os.kill(pid, signal.SIGKILL)
    slurm.until(lambda: "run-0" in slurm.handler.exits)
    ended = slurm.handler.exits["run-0"]
    assert not ended.lost
    assert "SLURM job 1_0" in (ended.reason or "")
    assert psutil.wait_procs(family, timeout=60)[1] == []


ENDS = {
    "NODE_FAIL": ("lost its node", True),
    "PREEMPTED": ("make room", True),
    "OUT_OF_MEMORY": ("--slurm mem=", False),
    "TIMEOUT": ("--slurm time=", False),
}


@pytest.mark.slow
def test_ends_by_the_cluster_are_told_in_words(slurm: Slurm, cluster: Cluster) -> None:
    """What SLURM did to a task that could not tell it becomes an error that says what to do, or another attempt."""
    allow(slurm.folder.run_dir, 0)
    for number in range(len(ENDS)):
        slurm.executor.submit(a_job(slurm.folder.run_dir, number))
    slurm.until(lambda: len(slurm.handler.started) == len(ENDS))
    for number, state in enumerate(ENDS):
        cluster.call("end", state, f"1_{number}")
    slurm.until(lambda: len(slurm.handler.exits) == len(ENDS))
    for number, (says, lost) in enumerate(ENDS.values()):
        ended = slurm.handler.exits[f"run-{number}"]
        assert says in (ended.reason or "")
        assert ended.lost is lost


@pytest.mark.slow
def test_a_node_that_fails_after_slurm_has_requeued_its_task(slurm: Slurm, cluster: Cluster) -> None:
    """SLURM starts it anew elsewhere by itself: the next start's events follow, nothing ends in between."""
    allow(slurm.folder.run_dir, 2)
    slurm.executor.submit(a_job(slurm.folder.run_dir))
    slurm.until(lambda: slurm.epochs("run-0") == [0, 1])
    cluster.call("end", "PENDING", "1_0")
    allow(slurm.folder.run_dir, 3)
    slurm.until(lambda: "run-0" in slurm.handler.exits)
    assert slurm.handler.exits["run-0"].code == 0
    assert slurm.epochs("run-0")[-3:] == [0, 1, 2]  # the same numbers again, which the log stores once
    assert (slurm.handler.done("run-0") or {})["attempt"] == 1


@pytest.mark.slow
def test_somebody_else_cancels_a_task(slurm: Slurm, cluster: Cluster) -> None:
    """`scancel` by hand is no request of ours: the experiment saves what it has and fails with who did it."""
    allow(slurm.folder.run_dir, 1)
    slurm.executor.submit(a_job(slurm.folder.run_dir))
    slurm.until(lambda: slurm.epochs("run-0") == [0])
    cluster.call("scancel", "1_0")
    slurm.until(lambda: "run-0" in slurm.handler.exits)
    assert "was cancelled in SLURM (CANCELLED) by 1000" in (slurm.handler.exits["run-0"].reason or "")
    assert (slurm.folder.run_dir / "0" / "checkpoints" / "epoch_0").is_dir()


def test_stop_ends_what_runs_and_takes_back_what_waits(slurm: Slurm, cluster: Cluster) -> None:
    """Running tasks end at their step boundaries and say why; a waiting one never begins."""
    allow(slurm.folder.run_dir, 0)
    for number in (0, 1):
        slurm.executor.submit(a_job(slurm.folder.run_dir, number))
    slurm.until(lambda: all(slurm.handler.types(f"run-{number}") for number in (0, 1)))
    cluster.refuse("full")
    slurm.executor.submit(a_job(slurm.folder.run_dir, 2))
    slurm.until(lambda: cluster.tasks("PENDING") == ["2_0"])
    slurm.executor.stop("run-0", "interrupt")
    slurm.executor.stop("run-1", "time_limit")
    slurm.executor.stop("run-2", "interrupt")
    slurm.until(lambda: len(slurm.handler.exits) == 3)
    done = [slurm.handler.done(f"run-{number}") for number in (0, 1)]
    assert [(each or {})["interrupted"] for each in done] == [True, False]
    assert "time limit" in (done[1] or {})["error"]
    assert slurm.handler.exits["run-2"].reason == "was stopped before it started"
    slurm.until(lambda: cluster.tasks("CANCELLED") == ["2_0"])


@pytest.mark.slow
def test_kill_ends_at_once(slurm: Slurm, cluster: Cluster) -> None:
    """A task that never looks whether it should stop is gone, and its job cannot begin again."""
    job = a_job(slurm.folder.run_dir)
    slurm.executor.submit(
        Job(**{field: getattr(job, field) for field in job.__struct_fields__} | {"entry": "tests.execution.jobs:hang"})
    )
    slurm.until(lambda: slurm.handler.started)
    pid = int((cluster.root / "1_0.step").read_text())
    slurm.executor.kill("run-0")
    slurm.until(lambda: "run-0" in slurm.handler.exits)
    assert slurm.handler.exits["run-0"].signal == signal.SIGKILL
    slurm.until(lambda: not psutil.pid_exists(pid))


@pytest.mark.slow
def test_without_accounting_the_controller_is_asked(slurm: Slurm, cluster: Cluster) -> None:
    """A cluster without `slurmdbd` answers by `squeue`."""
    cluster.refuse("no_accounting")
    allow(slurm.folder.run_dir, 0)
    slurm.executor.submit(a_job(slurm.folder.run_dir))
    slurm.until(lambda: slurm.handler.started)
    cluster.call("end", "NODE_FAIL", "1_0")
    slurm.until(lambda: "run-0" in slurm.handler.exits)
    assert slurm.handler.exits["run-0"].lost


def test_a_wrong_option_ends_the_run_with_what_sbatch_says(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing was ever taken, so nothing ever will be."""
    (tmp_path / "run").mkdir()
    slurm = Slurm(tmp_path / "run", {"partition": "closed"})
    slurm.executor.submit(a_job(tmp_path / "run"))
    with pytest.raises(RunError, match="invalid partition specified: closed"):
        slurm.executor.poll(0)
    assert "run-0" in slurm.handler.exits


def test_arrays_are_as_large_as_the_cluster_takes(slurm: Slurm, cluster: Cluster) -> None:
    """Clusters limit arrays: what is too many at once goes in parts, in its order."""
    (cluster.root / "largest").write_text("2")
    cluster.refuse("full")
    for number in range(5):
        slurm.executor.submit(a_job(slurm.folder.run_dir, number))
    slurm.executor.poll(0)
    assert cluster.tasks("PENDING") == ["1_0", "1_1", "2_0", "3_0", "3_1"]
    told = [array.job_ids for array in slurm.folder.arrays() if array.queue_ids]
    assert told == [["run-0", "run-1"], ["run-2"], ["run-3", "run-4"]]
    assert slurm.handler.notes == []


def test_where_jobs_cannot_be_laid_ready_the_run_ends_with_words(slurm: Slurm) -> None:
    """A full disk, for one."""
    folder = slurm.folder.path / "arrays"
    folder.rmdir()
    folder.touch()
    slurm.executor.submit(a_job(slurm.folder.run_dir))
    with pytest.raises(RunError, match=r"/slurm` cannot be written: Not a directory"):
        slurm.executor.poll(0)
    assert "run-0" in slurm.handler.exits


@pytest.mark.parametrize(
    ("signals", "why", "error", "left"),
    [
        ([signal.SIGTERM], None, "RuntimeError: DataLoader worker is killed by signal: Terminated", True),
        ([], None, "RuntimeError: DataLoader worker is killed by signal: Terminated", False),
        ([signal.SIGTERM], "interrupt", "RuntimeError: DataLoader worker is killed by signal: Terminated", False),
        ([signal.SIGTERM], None, None, False),
    ],
)
def test_an_experiment_may_lose_a_process_before_it_hears_of_the_end(
    signals: list[int], why: Any, error: str | None, left: bool, tmp_path: Path
) -> None:
    """SLURM signals all processes of what it preempts: an error that follows is no failure; one by itself is."""
    folder, job = JobFolder(tmp_path), a_job(tmp_path)
    folder.prepare()
    if why is not None:
        folder.ask_to_stop(job.job_id, why)
    descriptor, number = folder.open_spool(job.job_id)
    sink = SpoolSink(descriptor, "run", 0)
    task = Task(folder, job, sink, list(signals))
    task.on_started(job.job_id)
    done = JobStatus(job_id=job.job_id, status="DONE", grid_search_id="run", experiment_id=0, error=error)
    task.on_events(job.job_id, [Producer().encode(done)])
    task.on_exit(job.job_id, Exit(code=1))
    sink.close()
    assert task.left is left
    assert (b'"status":"DONE"' in folder.spool_path(job.job_id, number).read_bytes()) is not left


@pytest.mark.slow
def test_a_controller_that_restarts_is_waited_for(
    slurm: Slurm, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refused stays waiting as long as anything runs, and is submitted later."""
    monkeypatch.setattr("mlgym.execution.slurm.executor._RETRY_S", 0.1)
    monkeypatch.setattr("mlgym.execution.slurm.executor._MAX_REFUSALS", 0)
    allow(slurm.folder.run_dir, 0)
    slurm.executor.submit(a_job(slurm.folder.run_dir, 0))
    slurm.until(lambda: slurm.handler.started)
    cluster.refuse("refuses")
    slurm.executor.submit(a_job(slurm.folder.run_dir, 1))
    slurm.until(lambda: slurm.executor._refusals.count > 1)
    assert "Unable to contact slurm controller" in slurm.handler.notes[-1][1]
    cluster.relent("refuses")
    allow(slurm.folder.run_dir, 3)
    slurm.until(lambda: len(slurm.handler.exits) == 2)
    assert [each.code for each in slurm.handler.exits.values()] == [0, 0]


@pytest.mark.slow
def test_on_this_machine_under_submitits_controllers(tmp_path: Path) -> None:
    """`cluster=local`: the same tasks, and their time limit really warns, requeues and starts them again."""
    (tmp_path / "run").mkdir()
    slurm = Slurm(tmp_path / "run", {"cluster": "local", "time": "1", "signal_delay_s": "46"})
    allow(tmp_path / "run", 1)
    try:
        slurm.executor.submit(a_job(tmp_path / "run"))
        slurm.until(lambda: "job_status:INIT" in slurm.handler.types("run-0"))
        allow(tmp_path / "run", 3)
        slurm.until(lambda: "run-0" in slurm.handler.exits)
    finally:
        slurm.executor.close()
    assert slurm.handler.exits["run-0"].code == 0
    assert slurm.epochs("run-0") == [0, 1, 2]


@pytest.mark.slow
def test_options_reach_sbatch(cluster: Cluster, tmp_path: Path) -> None:
    """Those of submitit by their names, any other as `sbatch.NAME`; no time limit that nobody asked for."""
    (tmp_path / "run").mkdir()
    options: Options = {"mem": "4G", "sbatch.reservation": "night", "setup": ["module load cuda", "export A=1"]}
    slurm = Slurm(tmp_path / "run", options)
    run_all(slurm.executor, slurm.handler, a_job(tmp_path / "run", epochs=0))
    slurm.executor.close()
    script = cluster.script(1)
    for line in ("--mem=4G", "--reservation=night", "--requeue", "--signal=B:USR2@120", "--job-name=straw"):
        assert f"#SBATCH {line}\n" in script
    assert "module load cuda\nexport A=1\n" in script
    assert "--time" not in script
    assert "--wckey" not in script


@pytest.mark.parametrize(
    ("options", "num_cpus", "asked"),
    [({}, 4, 4), ({}, 1, None), ({"cpus_per_task": "8"}, 4, 8), ({"sbatch.exclusive": "true"}, 4, None)],
)
def test_an_experiment_gets_the_cores_that_it_computes_on(
    cluster: Cluster, options: Options, num_cpus: int, asked: int | None
) -> None:
    """Several threads or processes on the one core that SLURM gives unasked would take turns, and nobody would know."""
    settings = SlurmSettings.of(options, num_slots=1, device="cpu", name=None, num_cpus=num_cpus)
    assert settings.parameters.get("cpus_per_task") == asked


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"partiton": "gpu"}, "did you mean `partition`"),
        ({"nodes": "2"}, "an experiment runs on one node"),
        ({"gpus_per_node": "1"}, "add `--devices cuda:0`"),
        ({"cluster": "debug"}, "--executor inline"),
        ({"signal_delay_s": "soon"}, "must be a number above 0"),
        ({"mem": ["1G", "2G"]}, "given 2 times"),
    ],
)
def test_options_that_cannot_be_are_refused(cluster: Cluster, options: Options, says: str) -> None:
    """Before anything is submitted, with what to do."""
    with pytest.raises(RunError) as refused:
        SlurmSettings.of(options, num_slots=1, device="cpu", name=None)
    assert says in str(refused.value)


def test_without_submitit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install."""
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(RunError, match=r"pip install 'mlgym\[slurm\]'"):
        SlurmSettings.of({}, num_slots=1, device="cpu", name=None)


def test_without_slurm_nothing_is_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a machine without its commands there is no run folder either; what is for others is refused, too."""
    monkeypatch.setenv("PATH", str(tmp_path))
    config: dict[str, Any] = {
        "version": 1,
        "extends": "preset/classification",
        "components": {"data": {"use": "digits"}},
    }
    config["components"] |= {"model": {"use": "mlp", "hidden": [8]}, "optimizer": {"use": "adam", "model": "$model"}}
    with pytest.raises(RunError, match="there is no `sbatch` on this machine"):
        mlgym.run(config, storage=tmp_path / "storage", executor="slurm", progress=False)
    with pytest.raises(RunError, match="need `--executor slurm`"):
        mlgym.run(config, storage=tmp_path / "storage", slurm={"time": "5"}, progress=False)
    assert not (tmp_path / "storage").exists()


def test_the_data_of_earlier_starts_is_known(tmp_path: Path) -> None:
    """A task that begins anew after a requeue knows the data that the one before it told of, and not the log."""
    told = DataFingerprint(
        grid_search_id="run", experiment_id=0, split="train", num_samples=3, sha256="a", covers="all"
    )
    (tmp_path / "spool").write_bytes(encode(Producer().event(told)) + b"\n")
    job = msgspec.structs.replace(a_job(tmp_path), known_data={"val": {"sha256": "b", "num_samples": 2}})
    known = known_data(job, [tmp_path / "spool"])
    assert known == {"val": {"sha256": "b", "num_samples": 2}, "train": {"sha256": "a", "num_samples": 3}}
