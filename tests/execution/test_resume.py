"""Going on with a run: who runs again and how often, what is refused, and what the log says of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from mlgym.errors import RunError
from mlgym.events import RunState, read_log
from mlgym.execution import ConfigChangedError, RunSummary, hold_run
from mlgym.execution.scheduler import Counts
from mlgym.tracking import RunFolder
from tests.execution.jobs import FOR_EVER_S
from tests.execution.stand_ins import StandInDocument, launch_straw, resume_straw, start_program
from tests.waiting import wait_for


def payloads(folder: Path, event_type: str) -> list[dict[str, Any]]:
    events = [entry.event for entry in read_log(folder / "event_storage.log")]
    return [event["payload"] for event in events if event["event_type"] == event_type]


def said(folder: Path, experiment_id: int | None) -> list[str]:
    return [log["message"] for log in payloads(folder, "log") if log["experiment_id"] == experiment_id]


def jobs(folder: Path) -> list[tuple[str, int, int]]:
    """Each job as (its number, experiment, attempt)."""
    begun = [one for one in payloads(folder, "job_status") if one["status"] == "INIT"]
    return [(one["job_id"].rpartition("-")[2], one["experiment_id"], one.get("attempt", 0)) for one in begun]


Starter = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def programs(storage: Path) -> Iterator[Starter]:
    """Starts programs that launch or resume the run `run`, and ends them whatever happens."""
    started: list[subprocess.Popen[str]] = []

    def start_one(entries: list[str], **arguments: Any) -> subprocess.Popen[str]:
        started.append(start_program(storage, entries=entries, run_id="run", **arguments))
        return started[-1]

    try:
        yield start_one
    finally:
        for program in started:
            program.kill()
            program.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts programs; see `programs`."""
    with programs(tmp_path) as start_one:
        yield start_one


def state(storage: Path) -> RunState:
    folder = RunFolder(storage, "run")
    return folder.state() if folder.log_path.exists() else RunState()


ENTRIES = ["succeed", "save_and_wait", "save_and_wait", "succeed"]
LONG = {"seconds": FOR_EVER_S}


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose driver was killed while two of its four experiments ran, each with a checkpoint."""
    storage = tmp_path_factory.mktemp("killed")
    with programs(storage) as start_one:
        program = start_one(ENTRIES, processes=2)
        wait_for(lambda: sum(bool(each.checkpoints) for each in state(storage).experiments.values()) == 2)
        program.kill()
        program.wait()
    return storage


@pytest.fixture
def killed(killed_once: Path, tmp_path: Path) -> Path:
    """A copy of that run, for one test."""
    return Path(shutil.copytree(killed_once, tmp_path / "storage"))


@pytest.mark.parametrize("executor", ["processes", "inline"])
def test_a_killed_run_goes_on(executor: str, killed: Path) -> None:
    """What was done stays so, what ran or waited runs; jobs are numbered on and know what was before."""
    assert state(killed).status == "crashed"
    summary = resume_straw(killed, "run", ENTRIES, executor=executor, processes=3)
    assert (summary.counts, summary.exit_code) == (Counts(succeeded=4), 0)
    after = state(killed)
    assert (after.status, after.num_starts, after.final_counts["succeeded"]) == ("finished", 2, 4)
    assert jobs(summary.path) == [("0", 0, 0), ("1", 1, 0), ("2", 2, 0), ("3", 1, 1), ("4", 2, 1), ("5", 3, 0)]
    assert said(summary.path, 2) == ["attempt 1, lineage 0, knows 2/checkpoints/epoch_1-step_10"]
    (resumed,) = payloads(summary.path, "run_resumed")
    assert (resumed["command"], resumed["num_experiments"]) == (["mlgym", "resume", "run"], 4)
    assert len(payloads(summary.path, "environment")) == 2


def test_twice_is_once(killed: Path) -> None:
    """Where nothing is left, the log stays as it is."""
    first = resume_straw(killed, "run", ENTRIES)
    log = (first.path / "event_storage.log").read_bytes()
    second = resume_straw(killed, "run", ENTRIES)
    assert second == first
    assert (first.path / "event_storage.log").read_bytes() == log


def _has_jobs(storage: Path, num_jobs: int) -> bool:
    return state(storage).num_jobs == num_jobs


def test_killed_again_and_again(tmp_path: Path, start: Starter) -> None:
    """A driver that dies at once, several times over, costs attempts and nothing else."""
    for num_jobs in (2, 4, 6):
        program = start(["sleep", "sleep"], processes=2, resumes=num_jobs > 2, config=LONG)
        wait_for(partial(_has_jobs, tmp_path, num_jobs))
        program.kill()
        program.wait()
    summary = resume_straw(tmp_path, "run", ["sleep", "sleep"], config=LONG, time_limit_s=0.1)
    assert summary.counts == Counts(failed=2)
    assert [attempt for _, _, attempt in jobs(summary.path)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len({number for number, _, _ in jobs(summary.path)}) == 8


def test_a_second_driver_is_refused_while_the_first_lives(tmp_path: Path, start: Starter) -> None:
    """The error names the process; the first goes on undisturbed."""
    program = start(["sleep"], processes=1, config=LONG)
    wait_for(lambda: state(tmp_path).counts["running"] == 1)
    with pytest.raises(RunError, match=f"run `run` goes on already, in process {program.pid}"):
        resume_straw(tmp_path, "run", ["sleep"], config=LONG)
    assert state(tmp_path).status == "running"
    assert jobs(tmp_path / "run") == [("0", 0, 0)]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_an_interrupted_run_goes_on(signum: int, tmp_path: Path, start: Starter) -> None:
    """A signal ends it with 130; afterwards interrupted experiments run again, and those that had not started."""
    program = start(["save_and_wait"] * 3, processes=1)
    wait_for(lambda: bool(state(tmp_path).experiments) and bool(state(tmp_path).experiments[0].checkpoints))
    program.send_signal(signum)
    assert program.wait(120) == 130
    before = state(tmp_path)
    assert (before.status, before.counts["interrupted"], before.counts["waiting"]) == ("interrupted", 1, 2)
    summary = resume_straw(tmp_path, "run", ["save_and_wait"] * 3, processes=2, config=None, time_limit_s=0.2)
    assert summary.counts == Counts(succeeded=1, failed=2)
    assert said(summary.path, 0)[-1].startswith("attempt 1, lineage 0")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_every_process_of_a_run(signum: int, tmp_path: Path, start: Starter) -> None:
    """As batch systems send it: experiments end as interrupted, none as failed, and the run can go on."""
    program = start(["save_and_wait"] * 3, processes=2, time_limit_s=600)
    wait_for(lambda: sum(bool(each.checkpoints) for each in state(tmp_path).experiments.values()) == 2)
    # At once for all: the driver does not go on before it has its own.
    program.send_signal(signal.SIGSTOP)
    for process in psutil.Process(program.pid).children(recursive=True):
        process.send_signal(signum)
    program.send_signal(signum)
    program.send_signal(signal.SIGCONT)
    assert program.wait(120) == 130
    ended = state(tmp_path)
    assert (ended.status, ended.counts["interrupted"], ended.counts["failed"]) == ("interrupted", 2, 0)


def test_failed_experiments_run_again_only_when_asked(tmp_path: Path) -> None:
    """Without being asked a resume says 1 and runs nothing; with it they are tried again."""
    entries = ["fail_at_first", "succeed"]
    first = launch_straw(tmp_path, entries, executor="inline", run_id="run")
    assert (first.counts, first.exit_code) == (Counts(succeeded=1, failed=1), 1)
    assert resume_straw(tmp_path, "run", entries, executor="inline") == first
    again = resume_straw(tmp_path, "run", entries, executor="inline", retry_failed=True)
    assert (again.counts, again.exit_code) == (Counts(succeeded=2), 0)
    assert jobs(first.path) == [("0", 0, 0), ("1", 1, 0), ("2", 0, 1)]
    assert state(tmp_path).experiments[0].error is None


def document(**data: Any) -> StandInDocument:
    return StandInDocument(data={"name": "straw", "seed": 0, **data})


def test_more_epochs(tmp_path: Path) -> None:
    """Finished experiments go on where the epochs were raised, others than those that stopped early, and once."""
    small, large = ({"experiment": {"epochs": epochs}} for epochs in (3, 5))
    entries = ["succeed", "stop_early"]
    launch_straw(tmp_path, entries, executor="inline", run_id="run", config=small, document=document(**small))

    def go_on(config: dict[str, Any], *allowed: str) -> RunSummary:
        return resume_straw(
            tmp_path,
            "run",
            entries,
            executor="inline",
            config=config,
            document=document(**config),
            allowed_changes=allowed,
        )

    with pytest.raises(ConfigChangedError, match=r"experiment\.epochs: 3 -> 5"):
        go_on(large)
    assert go_on(large, "experiment.epochs").counts == Counts(succeeded=2)
    assert jobs(tmp_path / "run") == [("0", 0, 0), ("1", 1, 0), ("2", 0, 1)]
    assert state(tmp_path).experiments[0].lineage == 1
    go_on(large, "experiment.epochs")
    go_on(large)
    assert len(jobs(tmp_path / "run")) == 3


def test_a_changed_config_is_refused_with_its_difference(killed: Path) -> None:
    """Each key with both values, and what to say to go on all the same; nothing was written, not even to the log."""
    log = (killed / "run" / "event_storage.log").read_bytes()
    record = (killed / "run" / "run_config.yml").read_text()
    changed = StandInDocument(data={"name": "straw", "components": {"optimizer": {"lr": 0.1}}})
    with pytest.raises(ConfigChangedError) as refused:
        resume_straw(killed, "run", ENTRIES, document=changed)
    text = str(refused.value)
    assert "the config changed since run `run` was started:\n  components: added" in text
    assert "--allow-config-change components" in text
    assert (killed / "run" / "event_storage.log").read_bytes() == log
    assert (killed / "run" / "run_config.yml").read_text() == record


def test_an_admitted_change_begins_a_new_lineage(killed: Path) -> None:
    """Experiments that had begun go on in a new lineage, others begin in the first; the record keeps the change."""
    for _ in range(2):
        summary = resume_straw(
            killed,
            "run",
            ENTRIES,
            config={"components": {"optimizer": 0.1}},
            document=StandInDocument(
                data={"name": "straw", "components": {"optimizer": 0.1}}, overrides=["a=1", "b=2"]
            ),
            allowed_changes=["components"],
        )
    assert summary.counts == Counts(succeeded=4)
    assert {key: each.lineage for key, each in state(killed).experiments.items()} == {0: 0, 1: 1, 2: 1, 3: 0}
    assert said(summary.path, 1) == ["attempt 1, lineage 1, knows 1/checkpoints/epoch_1-step_10"]
    record = yaml.safe_load((summary.path / "run_config.yml").read_text())
    assert record["config"] == {"name": "straw", "components": {"optimizer": 0.1}}
    assert (record["overrides"], record["admitted_changes"]) == (["a=1", "b=2"], ["components"])
    assert record["command"] == ["mlgym", "run", "straw.yml"]


def test_a_default_that_changed_in_the_code_is_refused(killed: Path) -> None:
    """The config is as it was, but resolves to something else in experiments that go on."""
    with pytest.raises(ConfigChangedError, match=r"dropout: added, 0\.5 \(experiments 1, 2: the default"):
        resume_straw(killed, "run", ENTRIES, config={"dropout": 0.5})


@pytest.mark.parametrize(
    ("new", "allowed"),
    [
        ({"name": "straw", "seed": 3}, "seed"),
        ({"name": "straw", "validation": {"mode": "other"}}, "validation"),
        ({"name": "straw", "components": {"lr": {"sweep": [1, 2]}}}, "components"),
    ],
)
def test_what_makes_another_run_is_refused_always(new: dict[str, Any], allowed: str, tmp_path: Path) -> None:
    """Seeds, validation and sweeps cannot be admitted."""
    launch_straw(tmp_path, ["fail"], executor="inline", run_id="run")
    with pytest.raises(ConfigChangedError, match="make another run"):
        resume_straw(tmp_path, "run", ["fail"], document=StandInDocument(data=new), allowed_changes=[allowed])


def test_another_number_of_experiments_is_refused(tmp_path: Path) -> None:
    """Also where nobody can say which key did it."""
    launch_straw(tmp_path, ["fail"], executor="inline", run_id="run")
    with pytest.raises(RunError, match="has 1 experiments, but the config unfolds into 2"):
        resume_straw(tmp_path, "run", ["fail"], num_experiments=2)


def test_other_swept_values_are_refused(killed: Path) -> None:
    """The same number of experiments of another grid."""
    with pytest.raises(RunError, match=r"experiment 1 of run `run` has .*save_and_wait"):
        resume_straw(killed, "run", ["succeed"], num_experiments=4)


def test_a_moved_run_goes_on(killed: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing in a run folder says where it lies."""
    elsewhere = tmp_path_factory.mktemp("moved") / "storage"
    shutil.move(killed, elsewhere)
    killed.mkdir()
    summary = resume_straw(elsewhere, "run", ENTRIES)
    assert summary.counts == Counts(succeeded=4)
    assert not list(killed.iterdir())
    assert all((elsewhere / "run" / str(number) / "experiment_config.json").is_file() for number in range(4))


def test_other_surroundings_begin_a_new_lineage_and_are_told(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named in the log; who had not begun begins as if nothing had been, and the same surroundings change nothing."""
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    summary = resume_straw(killed, "run", ENTRIES)
    assert {key: each.lineage for key, each in state(killed).experiments.items()} == {0: 0, 1: 1, 2: 1, 3: 0}
    (warning,) = [line for line in said(summary.path, None) if "other surroundings" in line]
    assert warning.startswith("other surroundings than before for experiments 1, 2, whose")
    assert "MKL_CBWR: nothing -> COMPATIBLE" in warning


def test_surroundings_are_those_of_the_last_job_of_an_experiment(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver in other surroundings that came between and never got to an experiment leaves no trace in it."""

    class Ending:
        """Ends the run as soon as its first experiment was submitted."""

        sent = False

        def update(self, state: RunState) -> None:
            if not self.sent:
                self.sent = True
                os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setenv("MKL_CBWR", "COMPATIBLE")
        between = resume_straw(killed, "run", ENTRIES, processes=1, observer=Ending())
    assert (between.exit_code, [number for _, number, _ in jobs(between.path)]) == (130, [0, 1, 2, 1])
    assert resume_straw(killed, "run", ENTRIES).counts == Counts(succeeded=4)
    experiments = state(killed).experiments
    assert (experiments[1].lineage > 0, experiments[2].lineage, experiments[3].lineage) == (True, 0, 0)


def test_fast_determinism_begins_a_new_lineage(tmp_path: Path) -> None:
    """Where operations need not repeat, no continuation does; the record keeps it without being asked."""
    entries = ["fail_at_first"]
    launch_straw(tmp_path, entries, executor="inline", run_id="run", determinism="fast")
    resume_straw(tmp_path, "run", entries, retry_failed=True)
    assert state(tmp_path).experiments[0].lineage == 1


@pytest.mark.parametrize(("device", "lineage"), [("cuda:1", 1), ("cpu", 0)])
def test_another_kind_of_device_begins_a_new_lineage(device: str, lineage: int, tmp_path: Path) -> None:
    """Other kernels give other bits."""
    launch_straw(tmp_path, ["fail_at_first"], executor="inline", run_id="run")
    resume_straw(tmp_path, "run", ["fail_at_first"], devices=(device,), retry_failed=True)
    assert state(tmp_path).experiments[0].lineage == lineage


def test_options_are_those_of_the_launch_unless_given(tmp_path: Path) -> None:
    """Devices, limits and threads come from the record; a number of processes chosen for other devices does not."""
    launch_straw(tmp_path, ["succeed"], executor="inline", run_id="run", threads=3, time_limit_s=9, processes=5)
    with hold_run(RunFolder(tmp_path, "run")) as held:
        kept = held.options(processes=None)
        assert (kept.executor, kept.threads, kept.time_limit_s, kept.processes) == ("inline", 3, 9, 5)
        moved = held.options(devices=("cuda:0",), executor="processes")
        assert (moved.devices, moved.processes, moved.executor) == (("cuda:0",), None, "processes")


def test_a_driver_that_died_before_it_said_the_end(tmp_path: Path) -> None:
    """All experiments are done: the log gets its end, and no worker is started."""
    summary = launch_straw(tmp_path, ["succeed"], executor="inline", run_id="run")
    log = summary.path / "event_storage.log"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    assert resume_straw(tmp_path, "run", ["succeed"]) == summary
    assert state(tmp_path).status == "finished"
    assert len(jobs(summary.path)) == 1


def test_lost_events_are_made_up_for(tmp_path: Path) -> None:
    """An experiment of which the log knows nothing, but which left checkpoints, is not taken for a new one."""
    launch_straw(tmp_path, ["fail"], executor="inline", run_id="run")
    log = tmp_path / "run" / "event_storage.log"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]))
    (tmp_path / "run" / "0" / "checkpoints").mkdir(parents=True)
    resume_straw(tmp_path, "run", ["fail"])
    assert jobs(tmp_path / "run") == [("0", 0, 1)]


def test_a_run_that_was_never_launched(tmp_path: Path) -> None:
    """A driver that died while it made the folder leaves nothing to go on with, and the error says so."""
    summary = launch_straw(tmp_path, ["succeed"], executor="inline", run_id="run")
    (summary.path / "run_config.yml").unlink()
    with pytest.raises(RunError, match="before it had written down how it was launched"):
        resume_straw(tmp_path, "run", ["succeed"])
    (summary.path / "run_config.yml").write_text("threads: many\n")
    with pytest.raises(RunError, match=r"`run_config.yml` of run `run` is damaged: .*threads"):
        resume_straw(tmp_path, "run", ["succeed"])


def test_a_run_of_an_older_version(tmp_path: Path) -> None:
    """Its record has no config: what is given is taken, as far as the experiments agree with it."""
    summary = launch_straw(tmp_path, ["fail_at_first"], executor="inline", run_id="run")
    record = yaml.safe_load((summary.path / "run_config.yml").read_text())
    del record["config"], record["admitted_changes"], record["processes_as_given"]
    (summary.path / "run_config.yml").write_text(json.dumps(record))
    assert resume_straw(tmp_path, "run", ["fail_at_first"], retry_failed=True).counts == Counts(succeeded=1)
