"""What is refused before a run is started."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import mlgym
from mlgym.api.given_options import check_given
from mlgym.api.launch_check import MAX_THREADS, check_cluster_options, check_launch
from mlgym.errors import MlgymError, RunError
from mlgym.execution import RunOptions
from mlgym.execution.ray_options import RayOptions

CONFIG = {"version": 1, "extends": "preset/classification", "components": {
    "data": {"use": "iris"}, "model": {"use": "mlp", "hidden": 4}, "optimizer": {"use": "adam", "model": "$model"},
}}  # fmt: skip


def checked(**options: Any) -> None:
    given: dict[str, Any] = {"devices": ["cpu"], "threads": 1, "text_logging_path": None, **options}
    check_launch(**given)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"devices": ["cpu", "cpu"]},
        {"threads": "auto"},
        {"threads": MAX_THREADS},
        {"text_logging_path": Path("new")},
    ],
)
def test_what_can_run_passes(options: dict[str, Any]) -> None:
    """The control: nothing that works is refused."""
    checked(**options)


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("gpu", "there is no device `gpu`; devices are named `cpu`, `cuda` or `cuda:1`"),
        ("cuda:x", "there is no device `cuda:x`"),
        ("", "there is no device ``"),
        ("cuda:99", "device `cuda:99` is not there: PyTorch finds"),
        ("xpu:99", "device `xpu:99` is not there"),
        ("meta", "nothing can be trained on it"),
    ],
)
def test_devices_that_are_not_there(device: str, told: str) -> None:
    """Said once and before anything starts, not once by each experiment."""
    with pytest.raises(RunError, match=told):
        checked(devices=["cpu", device])


def test_options_of_another_executor() -> None:
    """Nothing that was said about a cluster is passed over in silence; what says nothing is no option."""
    nothing = {"address": None, "insecure": None, "code": None, "wait_s": None}
    check_cluster_options("processes", nothing, {})
    check_cluster_options("ray", {"address": "auto"}, None)
    check_cluster_options("slurm", None, {"time": "5"})
    for kind in ("processes", "inline", "slurm"):
        with pytest.raises(RunError, match=r"`--address`.* need `--executor ray`"):
            check_cluster_options(kind, {**nothing, "address": "auto"}, None)
    for kind in ("processes", "ray"):
        with pytest.raises(RunError, match="need `--executor slurm`"):
            check_cluster_options(kind, nothing, {"time": "5"})


def test_no_run_begins_with_options_of_another_executor(tmp_path: Path) -> None:
    """They are looked at before there is a run folder."""
    with pytest.raises(RunError, match="need `--executor ray`"):
        mlgym.run(CONFIG, storage=tmp_path / "storage", ray={"address": "auto"}, progress=False)
    assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize(
    ("executor", "given", "told"),
    [
        ("processes", {"processes": 0}, "`processes` must be at least 1, but is 0"),
        ("slurm", {"processes": 0}, "`processes` must be at least 1, but is 0"),
        ("processes", {"time_limit_s": math.nan}, "`time_limit_s` must be above 0 s"),
        ("processes", {"slots_per_device": 4}, "`devices` is cpu: it shares out GPUs"),
        ("ray", {"slots_per_device": "auto"}, "`devices` is cpu: it shares out GPUs"),
        ("slurm", {"slots_per_device": 4, "devices": ("cuda:0",)}, "has its devices for itself"),
        ("inline", {"slots_per_device": 4}, "`slots_per_device` is 4: leave it out"),
        ("inline", {"devices": ("cuda:0", "cuda:1")}, "`devices` is cuda:0, cuda:1: name one"),
        ("inline", {"node_retries": 2}, "leave `node_retries` out"),
        ("ray", {"ray": RayOptions(insecure=True)}, "give its `--address`"),
        ("processes", {"local_checkpoints": False}, "say where they are kept"),
    ],
)
def test_options_that_mean_nothing(executor: Any, given: dict[str, Any], told: str) -> None:
    """Each is told, with what is meant; recorded ones that nobody said now are left alone."""
    options = RunOptions(executor=executor, **given)
    with pytest.raises(RunError, match=re.escape(told)):
        check_given(given, options)
    if not {"ray"} & given.keys():
        check_given({**dict.fromkeys(given), "executor": executor}, options)


def test_options_that_mean_something() -> None:
    """The control; all that is wrong is told at once."""
    check_given({"processes": 1, "slots_per_device": 1, "devices": ("cpu",)}, RunOptions(executor="inline"))
    check_given({"slots_per_device": 4}, RunOptions(devices=("cuda:0",)))
    check_given({"node_retries": 0, "time_limit_s": 0.1}, RunOptions())
    check_given({"local_checkpoints": False}, RunOptions(checkpoint_place="file:///there"))
    check_given({}, RunOptions(executor="ray", ray=RayOptions(address="auto", wait_s=3)))
    with pytest.raises(RunError, match=r"`retries` must.*\n.*`time_limit_s` must"):
        check_given({"retries": -1, "time_limit_s": -1}, RunOptions())


def test_cuda_stays_uninitialised() -> None:
    """A process that looked at CUDA's devices through the runtime could not be forked any more."""
    with pytest.raises(RunError):
        checked(devices=["cuda:99"])
    assert not torch.cuda.is_initialized()


@pytest.mark.parametrize("threads", [0, -1, MAX_THREADS + 1, 9_999_999])
def test_numbers_of_threads_that_crash(threads: int) -> None:
    """Millions of threads end in a segmentation fault, minutes later."""
    with pytest.raises(RunError, match=f"`threads` must be from 1 to {MAX_THREADS} or `auto`, but is {threads}"):
        checked(threads=threads)


def test_text_logs_need_a_folder_that_can_be_written(tmp_path: Path) -> None:
    """Neither a file, nor below one, nor where nothing can be written; else each run would die after its start."""
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunError, match="/file` is a file; name a folder"):
            checked(text_logging_path=place)
    with pytest.raises(RunError, match="`/proc/self` is not writable; name another folder"):
        checked(text_logging_path=Path("/proc/self/logs/deep"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"devices": ["gpu"]}, "there is no device"),
        ({"threads": 0}, "`threads` must be"),
        ({"storage": "file"}, "is a file; name a folder that can be written"),
        ({"storage": "file/below"}, "Not a directory; name a folder that can be written"),
        ({"run_id": "../up"}, "is not allowed"),
        ({"optimizer.lr": -1}, "should be greater than 0"),
        ({"executor": "inline", "processes": 4}, "`processes` is 4: leave it out, or take `--executor processes`"),
        ({"time_limit_s": 0}, "must be above 0 s, but is 0: leave it out"),
        *(
            ({"devices_per_experiment": 2, "optimizer.use": "lbfgs", "executor": kind}, "lbfgs.* instead of 2")
            for kind in ("processes", "ray", "slurm")
        ),
        ({"devices_per_experiment": 4, "loaders.batch_size": 3}, "loaders.batch_size: must be at least 4.* but is 3"),
    ],
)
def test_a_launch_that_is_refused_leaves_nothing(
    options: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run folder and no storage folder come of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    given: dict[str, Any] = {"storage": "storage", "progress": False, **options}
    with pytest.raises(MlgymError, match=told):
        mlgym.run(CONFIG, **given)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
