"""Jobs on their way to a worker, and the ends of their processes in words."""

from __future__ import annotations

import signal

from mlgym.execution.job import Exit, Job, decode_job, encode_job


def test_a_job_survives_the_way_as_json() -> None:
    """Encoded and decoded it is the same, awkward config included."""
    sent = Job(
        run_id="run",
        experiment_id=1,
        job_id="run-0",
        run_dir="/",
        config={},
        entry="a:b",
        seed=2**62,
        time_limit_s=1.5,
        imports=["a.b"],
        folder="/ä ö",
    )
    assert decode_job(encode_job(sent)) == sent


def test_ends_are_described() -> None:
    """Code, signal and reason each make half a sentence."""
    assert Exit(code=3).describe() == "exited with code 3 without finishing"
    assert Exit(signal=signal.SIGKILL).describe() == "was killed by SIGKILL"
    assert Exit(signal=63).describe().startswith("was killed by ")
    assert Exit(reason="was lost").describe() == "was lost"
