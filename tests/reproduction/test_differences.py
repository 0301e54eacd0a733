"""What differs between two recorded environments: named, ordered, with what to do about it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgym.events import Difference
from mlgym.reproduction.differences import environment_differences

RECORDED: dict[str, Any] = {
    "python": {"version": "3.11.9", "implementation": "CPython", "executable": "/usr/bin/python"},
    "platform": {"system": "Linux", "release": "6.1", "machine": "x86_64", "libc": "glibc 2.36", "host": "a"},
    "cpu": {"model": "Xeon 1", "isa": "AVX2", "cores": 2, "usable_cores": 2},
    "memory_bytes": 2**32,
    "gpus": [],
    "driver": None,
    "packages": {"torch": "2.13.0", "numpy": "2.1.0", "rich": "14.0.0", "PyYAML": "6.0.2", "mlgym": "1.0.0"},
    "package_hashes": {"numpy": {"sha256": "aa"}, "mlgym": {"sha256": "bb"}},
    "git": {"commit": "c0ffee", "branch": "main", "dirty": True, "diff": "-a\n+b\n", "diff_sha256": "dd"},
    "torch": {
        "config": "built with:\n  - GCC 13\n  - CUDA off",
        "cuda": "12.8",
        "flags": {"cudnn_benchmark": False, "cudnn_deterministic": True, "deterministic_algorithms": True},
    },
    "threads": 1,
    "deterministic": True,
    "hash_seed": "0",
    "environment_variables": {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "code": {"model": {"path": "model.py", "sha256": "11"}, "data": {"path": "data.py", "sha256": "22"}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Gives a record in which one thing, `a.b.c`, is another; None removes it."""
    recorded = copy.deepcopy(RECORDED)
    *parents, last = path.split("/")
    section = recorded
    for parent in parents:
        section = section[parent]
    if value is None:
        section.pop(last, None)
    else:
        section[last] = value
    return recorded


def differences(path: str, value: Any) -> list[Difference]:
    return environment_differences(RECORDED, changed(path, value))


def test_equal_surroundings_do_not_differ() -> None:
    """The same record has no difference; host, memory and place of the interpreter are none."""
    assert environment_differences(RECORDED, RECORDED) == []
    for path, value in (("platform/host", "b"), ("memory_bytes", 1), ("python/executable", "/x"), ("cpu/cores", 64)):
        assert differences(path, value) == []


@pytest.mark.parametrize(
    ("path", "value", "kind", "key", "changes_bits", "hint"),
    [
        ("threads", 2, "threads", "threads", True, "run with `--threads 1`"),
        ("deterministic", False, "determinism", "deterministic", True, "run with `--determinism bitwise`"),
        ("hash_seed", "7", "hash_seed", "PYTHONHASHSEED", True, "PYTHONHASHSEED=0 mlgym"),
        ("packages/torch", "2.12.1", "package", "torch", True, "`pip install torch==2.13.0`"),
        ("packages/numpy", "2.2.0", "package", "numpy", True, "`pip install numpy==2.1.0`"),
        ("packages/rich", "14.1.0", "package", "rich", False, "`pip install rich==14.0.0`"),
        ("packages/rich", None, "package", "rich", False, "`pip install rich==14.0.0`"),
        ("packages/scipy", "1.14.0", "package", "scipy", True, "`pip uninstall scipy`"),
        ("package_hashes/numpy", {"sha256": "ab"}, "package", "numpy", True, "--force-reinstall numpy"),
        ("package_hashes/mlgym", {"sha256": "ab"}, "package", "mlgym", True, "MLgym's own source"),
        ("python/version", "3.12.1", "python", "version", True, "use Python 3.11.9"),
        ("cpu/isa", "AVX512", "cpu", "isa", True, "ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2"),
        ("cpu/isa", "DEFAULT", "cpu", "isa", True, "a processor with AVX2"),
        ("cpu/model", "Xeon 2", "cpu", "model", True, "Xeon 1"),
        ("torch/flags/deterministic_algorithms", False, "torch_flag", "deterministic_algorithms", True, "to True"),
        ("torch/flags/cudnn_benchmark", True, "torch_flag", "cudnn_benchmark", False, "to False"),
        ("torch/cuda", "12.4", "torch_build", "cuda", True, "the same build"),
        ("environment_variables/ONEDNN_MAX_CPU_ISA", None, "environment_variable", "ONEDNN_MAX_CPU_ISA", True,
         "`export ONEDNN_MAX_CPU_ISA=AVX2`"),
        ("environment_variables/MKL_CBWR", "COMPATIBLE", "environment_variable", "MKL_CBWR", True, "`unset MKL_CBWR`"),
        ("environment_variables/CUDA_VISIBLE_DEVICES", "1", "environment_variable", "CUDA_VISIBLE_DEVICES", False,
         "`unset CUDA_VISIBLE_DEVICES`"),
        ("environment_variables/TORCHINDUCTOR_CACHE_DIR", "/tmp/x", "environment_variable", "TORCHINDUCTOR_CACHE_DIR",
         False, "`unset TORCHINDUCTOR_CACHE_DIR`"),
        ("environment_variables/KMP_INIT_AT_FORK", "FALSE", "environment_variable", "KMP_INIT_AT_FORK",
         False, "`unset KMP_INIT_AT_FORK`"),
        *((f"environment_variables/{name}", value, "environment_variable", name, bits, "") for name, value, bits in (
            # PyTorch takes the number of threads from the job; another one may reach other libraries.
            ("OMP_NUM_THREADS", None, False), ("MKL_NUM_THREADS", "1", False), ("MKL_NUM_THREADS", "4", True),
            # No GPU here nor there.
            ("CUBLAS_WORKSPACE_CONFIG", ":4096:8", False), ("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1", False),
            ("ATEN_CPU_CAPABILITY", "avx2", True),
        )),
        ("code/model", {"path": "model.py", "sha256": "33"}, "code", "model", True, "git checkout c0ffee -- model.py"),
        ("code/data", None, "code", "data", False, "restore `data.py`"),
        ("code/more", {"path": "more.py", "sha256": "4"}, "code", "more", False, "`more.py` was not loaded"),
        ("git/commit", "beef", "git", "commit", False, "`git checkout c0ffee`"),
        ("git/diff_sha256", "ee", "git", "diff", False, "`git.diff`"),
        ("git/dirty", False, "git", "dirty", False, "uncommitted changes"),
        ("gpus", [{"name": "H100"}], "gpu", "gpus", False, "no GPU"),
        ("platform/libc", "musl 1.2", "platform", "libc", True, "libc `glibc 2.36`"),
        ("platform/release", "6.2", "platform", "release", False, "6.1"),
    ],
)  # fmt: skip
def test_each_difference_is_named(path: str, value: Any, kind: str, key: str, changes_bits: bool, hint: str) -> None:
    """One changed thing gives one difference, of the right kind and weight, with what to do."""
    (found,) = differences(path, value)
    assert (found.kind, found.key, found.changes_bits) == (kind, key, changes_bits)
    assert hint in found.hint
    assert found.original != found.new


def test_another_commit_counts_where_code_is_not_known() -> None:
    """Equal hashes of the user's modules say that another commit changes nothing; without them it may."""
    old, new = changed("code", None), changed("git/commit", "beef")
    assert [(each.kind, each.changes_bits) for each in environment_differences(old, new)] == [("git", True)]
    new["code"]["model"]["sha256"] = "33"
    assert [(each.kind, each.changes_bits) for each in environment_differences(RECORDED, new)] == [
        ("code", True),
        ("git", True),
    ]


def test_what_follows_from_another_difference_is_not_named_again() -> None:
    """Other threads also change variables, another determinism also changes flags: each is one difference."""
    new = changed("threads", 4)
    new["environment_variables"]["OMP_NUM_THREADS"] = "4"
    assert [each.kind for each in environment_differences(RECORDED, new)] == ["threads"]
    new = changed("deterministic", False)
    new["torch"]["flags"] = {"cudnn_benchmark": True, "cudnn_deterministic": False, "deterministic_algorithms": False}
    assert [each.kind for each in environment_differences(RECORDED, new)] == ["determinism"]
    new = changed("hash_seed", "5")
    new["environment_variables"]["PYTHONHASHSEED"] = "5"
    assert [each.kind for each in environment_differences(RECORDED, new)] == ["hash_seed"]


def test_another_build_of_the_same_version_shows_what_differs() -> None:
    """Of the text about PyTorch's build only the lines that differ are kept; another version explains it by itself."""
    new = changed("torch/config", "built with:\n  - GCC 13\n  - CUDA 12")
    (found,) = environment_differences(RECORDED, new)
    assert (found.key, found.original, found.new) == ("config", "- CUDA off", "- CUDA 12")
    new["packages"]["torch"] = "2.12.0"
    assert [each.kind for each in environment_differences(RECORDED, new)] == ["package"]


def test_a_gpu_run_cares_for_gpus_and_drivers() -> None:
    """Where the original had a GPU, another GPU, driver or cuDNN setting may change bits."""
    old, new = changed("gpus", [{"name": "A100"}]), changed("gpus", [{"name": "H100"}])
    old["driver"], new["driver"] = "550.1", "560.2"
    new["torch"]["flags"]["cudnn_benchmark"] = True
    found = environment_differences(old, new)
    assert [(each.kind, each.key, each.changes_bits) for each in found] == [
        ("torch_flag", "cudnn_benchmark", True),
        ("gpu", "gpus", True),
        ("gpu", "driver", True),
    ]


def test_what_matters_comes_first() -> None:
    """Code and threads stand before versions, these before the machine, and what changes nothing at the end."""
    new = changed("threads", 2)
    new["packages"] |= {"numpy": "2.2.0", "torch": "2.12.0", "rich": "1", "PyYAML": "7"}
    new["cpu"]["model"] = "Xeon 2"
    new["code"]["model"]["sha256"] = "33"
    keys = [each.key for each in environment_differences(RECORDED, new)]
    assert keys == ["model", "threads", "torch", "numpy", "model", "pyyaml", "rich"]


def test_old_records_differ_only_in_what_they_know() -> None:
    """A record of an older version lists a few packages and no code: the rest is unknown, not different."""
    old = {
        "python": RECORDED["python"],
        "cpu": {"model": "Xeon 1", "cores": 8},
        "packages": {"torch": "2.13.0", "numpy": "2.0.0"},
        "git": {"commit": "c0ffee", "dirty": True},
        "threads": 1,
        "environment_variables": RECORDED["environment_variables"],
    }
    assert [each.key for each in environment_differences(old, RECORDED)] == ["numpy"]
    assert environment_differences({}, RECORDED) == environment_differences(RECORDED, {}) == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(RECORDED)), _JSON, max_size=6), _JSON, st.sampled_from(sorted(RECORDED)))
def test_no_record_is_too_damaged(broken: dict[str, Any], inner: Any, key: str) -> None:
    """Whatever JSON stands in a record, comparing gives differences that can be written as JSON, and raises nothing."""
    nested = {**RECORDED, key: dict.fromkeys(RECORDED[key], inner) if isinstance(RECORDED[key], dict) else inner}
    for one, other in ((broken, RECORDED), (RECORDED, broken), (nested, RECORDED), (RECORDED, nested)):
        for each in environment_differences(one, other):
            assert json.dumps([each.original, each.new, each.hint])
