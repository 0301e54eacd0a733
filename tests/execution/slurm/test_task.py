"""What a start of a job takes over from those before it."""

from __future__ import annotations

from pathlib import Path

from mlgym.events import CodeChanged, Difference, ExperimentResumed, Payload, Producer
from mlgym.execution.job import Job
from mlgym.execution.slurm.task import code_of, lineage_of

JOB = Job(run_id="run", experiment_id=0, job_id="run-0", run_dir="/run", config={}, lineage=1)


def spool(path: Path, *payloads: Payload) -> Path:
    """A spool with events of an experiment."""
    producer = Producer()
    path.write_bytes(b"".join(producer.encode(payload) + b"\n" for payload in payloads))
    return path


def changed(name: str, sha256: str) -> CodeChanged:
    difference = Difference("code", name, "0", sha256, True)
    return CodeChanged(grid_search_id="run", experiment_id=0, attempt=1, changes=[difference])


def test_the_last_start_says_which_code_there_was(tmp_path: Path) -> None:
    """Nothing, where it had what the driver recorded, whatever those before it had."""
    spools = [spool(tmp_path / "0"), spool(tmp_path / "1", changed("net", "a"), changed("data", "b"))]
    assert code_of(spools) == {"net": "a", "data": "b"}
    assert code_of([*spools, spool(tmp_path / "2")]) == code_of([]) == {}


def test_a_lineage_that_an_earlier_start_began_goes_on(tmp_path: Path) -> None:
    """That of the job, until one went on with other code."""
    resumed = ExperimentResumed(
        grid_search_id="run",
        experiment_id=0,
        job_id="run-0",
        epoch=1,
        step=2,
        path=None,
        lineage=2,
        replaces_later=True,
    )
    first = spool(tmp_path / "0")
    assert lineage_of(JOB, [first]) == lineage_of(JOB, []) == 1
    assert lineage_of(JOB, [first, spool(tmp_path / "1", resumed), spool(tmp_path / "2")]) == 2
