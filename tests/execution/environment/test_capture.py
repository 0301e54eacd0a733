"""The surroundings of a run: complete, those of the experiments' processes, quick, and without secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

from mlgym.execution.environment import capture_environment, package_versions, repository
from mlgym.execution.environment.hardware import gpus, nvidia_driver
from mlgym.execution.environment.packages import archive_hash, content_hash, installed_packages, package_hashes
from mlgym.execution.environment.torch_settings import torch_settings
from mlgym.execution.launcher import worker_environment
from mlgym.reproduction.differences import FOLLOW_DETERMINISM, environment_differences


def test_it_is_plain_data_with_what_changes_numbers(tmp_path: Path) -> None:
    """Python, packages, processor, PyTorch, threads and flags are there, and it is JSON."""
    found = capture_environment(threads=2, deterministic=True, folder=tmp_path, command=["mlgym", "run"])
    assert json.loads(json.dumps(found)) == found
    assert found["python"]["version"] == sys.version.split()[0]
    assert found["packages"]["numpy"] == np.__version__
    assert found["cpu"]["usable_cores"] >= 1
    assert found["cpu"]["isa"] == torch.backends.cpu.get_cpu_capability()
    assert found["torch"]["config"] == torch.__config__.show()
    assert (found["threads"], found["deterministic"], found["command"]) == (2, True, ["mlgym", "run"])
    assert found["memory_bytes"] > 2**28


def test_variables_that_matter_are_kept_and_secrets_are_not(tmp_path: Path) -> None:
    """Thread and library settings are recorded; home folders and tokens are nobody's business."""
    variables = {
        "OMP_NUM_THREADS": "3",
        "PYTHONHASHSEED": "0",
        "HOME": "/root",
        "MLGYM_TOKEN": "x",
        "CUDA_API_KEY": "y",
    }
    found = capture_environment(threads=1, deterministic=True, folder=tmp_path, variables=variables)
    assert found["environment_variables"] == {"OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "0"}
    assert found["hash_seed"] == "0"


def test_no_secret_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a secret variable holds is found in none of it, wherever it stood: command, diff, address, file name."""
    monkeypatch.setattr(repository, "_TIMEOUT_S", 120.0)  # for git, however busy the machine is
    secret = "qwertz-0815-geheim"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for arguments in (
        ["init", "-q"],
        ["commit", "-q", "--allow-empty", "-m", "x"],
        ["remote", "add", "origin", f"https://me:{secret}@host/x.git"],
    ):
        subprocess.run([*git, *arguments], check=True)
    (tmp_path / "tracked.py").write_text(f"login({secret!r})\n")
    subprocess.run([*git, "add", "tracked.py"], check=True)
    (tmp_path / secret).write_text("")
    variables = {"SERVICE_TOKEN": secret, "TORCH_HOME": f"/x/{secret}"}
    command = ["mlgym", "run", f"--rest-endpoint=https://host/{secret}", "--token", "other"]
    found = capture_environment(threads=1, deterministic=True, folder=tmp_path, variables=variables, command=command)
    text = json.dumps(found)
    assert secret not in text
    assert '"other"' not in text
    assert "login('***')" in found["git"]["diff"]
    assert found["git"]["untracked"] == ["***"]
    assert found["git"]["remote"] == "https://***@host/x.git"


def test_flags_are_those_of_the_experiments() -> None:
    """What is recorded in the driver is what a worker finds after its preparation, not what the driver has."""
    code = (
        "import json, torch; from mlgym.training import prepare_process; import sys\n"
        "def flags(deterministic):\n"
        "    prepare_process(threads=1, deterministic=deterministic)\n"
        "    return {"
        "'deterministic_algorithms': torch.are_deterministic_algorithms_enabled(),"
        "'cudnn_benchmark': torch.backends.cudnn.benchmark,"
        "'cudnn_deterministic': torch.backends.cudnn.deterministic,"
        "'cudnn_allow_tf32': torch.backends.cudnn.allow_tf32,"
        "'matmul_allow_tf32': torch.backends.cuda.matmul.allow_tf32,"
        "'float32_matmul_precision': torch.get_float32_matmul_precision(),"
        "'cudnn_enabled': torch.backends.cudnn.enabled,"
        "'mkldnn_enabled': torch.backends.mkldnn.enabled,"
        "'default_dtype': str(torch.get_default_dtype()).removeprefix('torch.'),"
        "'fill_uninitialized_memory': torch.utils.deterministic.fill_uninitialized_memory}\n"
        "print(json.dumps([flags(True), flags(False)]))"
    )
    environment = {**worker_environment(1), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert [torch_settings(deterministic=each)["flags"] for each in (True, False)] == json.loads(done.stdout)


def test_flags_that_follow_from_determinism_are_known() -> None:
    """Those of the recorded flags that change with `determinism` are the ones that differences leave to it."""
    bitwise, fast = (torch_settings(deterministic=each)["flags"] for each in (True, False))
    assert {name for name in bitwise if bitwise[name] != fast[name]} == set(FOLLOW_DETERMINISM)


def test_thread_counts_of_the_driver_are_not_told() -> None:
    """PyTorch's own text about parallelism counts the threads of this process, which are not those of workers."""
    text = torch_settings(deterministic=True)["parallel"]
    assert "ATen parallel backend" in text
    assert "num_threads" not in text.lower()


def test_it_initialises_no_device_and_repeats(tmp_path: Path) -> None:
    """Twice in a row it is the same, so that equal surroundings have no difference; CUDA stays untouched."""
    first, second = (capture_environment(threads=1, deterministic=True, folder=tmp_path) for _ in range(2))
    assert environment_differences(first, second) == []
    assert first == second
    assert not torch.cuda.is_initialized()


def test_versions_are_those_installed() -> None:
    """What computes the numbers is listed among all packages, each once."""
    assert {"torch", "numpy", "torchmetrics", "scikit-learn"} <= package_versions().keys()
    everything = installed_packages()
    assert package_versions().items() <= everything.items()
    assert len({name.lower() for name in everything}) == len(everything)


def test_hashes_tell_files_apart_and_nothing_else(tmp_path: Path) -> None:
    """A package has one hash wherever and by whatever it is installed, and another once one of its files differs."""

    def hashes(place: str, content: str, installer: str) -> str | None:
        info = tmp_path / place / "some_package-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "RECORD").write_text(
            f"../../bin/some,sha256={place},3\nsome/__pycache__/a.pyc,,\nsome/b.py,sha256=b,1\nsome/a.py,sha256={content},1\n"
            f"some_package-1.0.dist-info/INSTALLER,sha256={installer},3\nsome_package-1.0.dist-info/RECORD,,\n"
        )
        (info / "direct_url.json").write_text('{"url": "https://x/", "archive_info": {"hash": "sha256=abc"}}')
        distribution = metadata.Distribution.at(info)
        assert archive_hash(distribution) == "sha256=abc"
        return content_hash(distribution)

    assert hashes("one", "x", "pip") == hashes("two", "x", "uv") != hashes("three", "y", "pip")


def test_mlgym_is_told_by_its_source() -> None:
    """A development install keeps its version while its source changes, so the source is hashed."""
    assert len(package_hashes()["mlgym"]["sha256"]) == 64


def test_gpus_are_read_from_the_driver(tmp_path: Path) -> None:
    """Names, addresses and the driver's version come from files of the kernel; without a driver there are none."""
    assert (gpus(tmp_path), nvidia_driver(tmp_path)) == ([], None)
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12.2.0\n"
    )
    for bus in ("0000:3b:00.0", "0000:18:00.0"):
        (tmp_path / "gpus" / bus).mkdir(parents=True)
        (tmp_path / "gpus" / bus / "information").write_text(
            f"Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 18\nBus Location: \t {bus}\n"
        )
    assert nvidia_driver(tmp_path) == "550.54.15"
    assert gpus(tmp_path) == [
        {"name": "NVIDIA H100 80GB HBM3", "bus": "0000:18:00.0"},
        {"name": "NVIDIA H100 80GB HBM3", "bus": "0000:3b:00.0"},
    ]
