"""What of a launch makes sense on a cluster, and what a later one goes on with."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from mlgym.config import load
from mlgym.errors import RunError
from mlgym.execution import RunOptions
from mlgym.execution.ray.launching import ray_places
from mlgym.execution.ray.node_setup import travelling_variables
from mlgym.execution.ray.quiet import Quiet
from mlgym.execution.ray_options import RayOptions

DOCUMENT = load({"version": 1, "experiment": {"use": "training"}})


def test_what_is_given_anew_goes_before_what_was_recorded() -> None:
    """None keeps; a wrong name has the nearest right one."""
    recorded = RayOptions(address="head:6379", code="shared")
    assert recorded.changed(None) == recorded
    assert recorded.changed({"address": None, "insecure": True}) == RayOptions(
        address="head:6379", code="shared", insecure=True
    )
    assert recorded.changed(RayOptions()) == RayOptions()
    with pytest.raises(RunError, match=r"no option `adress` of a Ray cluster; did you mean `address`\?"):
        recorded.changed({"adress": "x"})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"devices": ("cuda:0", "cuda:1")}, "it is `cpu` or `cuda` alone: which of its GPUs"),
        ({"devices": ("cpu", "cuda")}, "it is `cpu` or `cuda` alone"),
        ({"threads": "auto"}, "`threads` cannot be `auto` on a Ray cluster"),
        ({"processes": 0}, "`processes` must be at least 1"),
        ({"devices": ("cuda",), "slots_per_device": "auto"}, "`slots_per_device` cannot be `auto`"),
        ({"devices": ("cuda",), "slots_per_device": 2, "devices_per_experiment": 2}, "cannot share them"),
        ({"ray": RayOptions(address="ray://head:10001")}, "client mode.*--address auto"),
    ],
)
def test_what_makes_no_sense_on_a_cluster_is_refused_before_anything_starts(
    options: dict[str, Any], expected: str
) -> None:
    """The error says what to give instead."""
    if "ray" in options:
        pytest.importorskip("ray")
    with pytest.raises(RunError, match=expected):
        ray_places(RunOptions(executor="ray", **options), DOCUMENT, None)


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"pip install 'mlgym\[ray\]'"):
        ray_places(RunOptions(executor="ray"), DOCUMENT, None)


def test_variables_travel_that_change_results_or_open_places() -> None:
    """And none that are facts of a machine, or belong to something else."""
    own = {
        "OMP_NUM_THREADS": "2",
        "PYTHONHASHSEED": "5",
        "MLGYM_TOKEN": "t",
        "AWS_ENDPOINT_URL": "u",
        "STORAGE_EMULATOR_HOST": "h",
        "CUDA_VISIBLE_DEVICES": "0",
        "SLURM_JOB_ID": "7",
        "PATH": "/bin",
        "HISTFILE": "h",
    }
    travelling = ["OMP_NUM_THREADS", "PYTHONHASHSEED", "MLGYM_TOKEN", "AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST"]
    assert list(travelling_variables(own)) == travelling


def test_what_ray_says_is_kept_from_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """Its warnings come as notes, without colors; afterwards its logger is as it was."""
    pytest.importorskip("ray")
    from ray._private import worker

    before = logging.getLogger("ray").handlers[:], logging.getLogger("ray").propagate
    printing = worker.print_to_stdstream
    quiet = Quiet()
    quiet.begin()
    try:
        logging.getLogger("ray").info("chatter")
        logging.getLogger("ray.data").warning("careful")
        worker.print_to_stdstream({"lines": ["\x1b[33mnode lost\x1b[0m", ""], "is_err": False}, ignore_prefix=False)
    finally:
        quiet.end()
    assert list(quiet.told) == [("warning", "Ray: careful"), ("warning", "Ray: node lost")]
    assert worker.print_to_stdstream is printing
    assert (logging.getLogger("ray").handlers, logging.getLogger("ray").propagate) == before
    assert capfd.readouterr() == ("", "")
