"""What differs between the surroundings of two runs, and what to do about it.

Compares the plain data of two `environment.json`, which may be old, partial or damaged: what only one of them knows is
no difference. Capturing the surroundings is elsewhere (`mlgym.execution.environment`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from mlgym.events import Difference
from mlgym.reproduction.influence import normalized, package_changes_bits, variable_changes_bits

Recorded: TypeAlias = Mapping[str, Any]
Scalar: TypeAlias = str | int | float | bool

HASH_SEED: Final = "PYTHONHASHSEED"
_FOLLOW_THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_OF_GPUS: Final = ("CUBLAS_", "CUDA_", "CUDNN_", "NCCL_", "NVIDIA_")
FOLLOW_DETERMINISM: Final = (
    "deterministic_algorithms",
    "cudnn_benchmark",
    "cudnn_deterministic",
    "cudnn_allow_tf32",
    "matmul_allow_tf32",
    "float32_matmul_precision",
)
"""Flags that the runner sets by `deterministic`; where that differs, they are not named one by one."""
_INSTRUCTION_SETS: Final = ("DEFAULT", "AVX2", "AVX512")
_ONEDNN_NAMES: Final = {"DEFAULT": "SSE41", "AVX2": "AVX2", "AVX512": "AVX512_CORE"}


def environment_differences(original: Recorded, new: Recorded) -> list[Difference]:
    """Gives in what two recorded environments differ, what may change results first.

    Args:
        original: content of the `environment.json` of the run to be reproduced.
        new: the same of the run that reproduces it.

    Returns:
        One difference for each thing that both know and that is not the same: those that may change bits first, and
        among these code, threads and settings, then versions, then the machine.
    """
    found = [difference for section in _SECTIONS for difference in section(original, new)]
    return sorted(found, key=lambda difference: not difference.changes_bits)


def _code(original: Recorded, new: Recorded) -> Iterator[Difference]:
    before, after = _section(original, "code"), _section(new, "code")
    if before is None or after is None:
        return
    commit = _scalar(_section(original, "git") or {}, "commit")
    for name in sorted({*before, *after}, key=str):
        old, now = _hash_of(before.get(name)), _hash_of(after.get(name))
        if old == now:
            continue
        path = _scalar(_section(before, name) or _section(after, name) or {}, "path") or name
        if old is None:
            hint = f"`{path}` was not loaded by the original run: is it imported by something that changed?"
        elif commit is not None:
            hint = f"restore `{path}`, with `git checkout {commit} -- {path}` where it was committed"
        else:
            hint = f"restore `{path}` as it was in the original run"
        # A module that only one run loaded, as the program that launched it does, changes nothing by itself: whatever
        # came to use it, or no longer does, has changed too.
        yield Difference("code", str(name), old, now, old is not None and now is not None, hint)


def _threads(original: Recorded, new: Recorded) -> Iterator[Difference]:
    old, now = _both(original, new, "threads")
    if old != now:
        yield Difference("threads", "threads", old, now, True, f"run with `--threads {old}`")


def _world(original: Recorded, new: Recorded) -> Iterator[Difference]:
    old, now = _both(original, new, "world_size")
    if old != now:
        hint = f"run with `--devices-per-experiment {old}`: sums over another number of processes are rounded otherwise"
        yield Difference("world_size", "world_size", old, now, True, hint)
        return
    old, now = _both(original, new, "backend")
    if old != now:
        yield Difference("backend", "backend", old, now, True, f"run on devices that `{old}` connects")


def _determinism(original: Recorded, new: Recorded) -> Iterator[Difference]:
    old, now = _both(original, new, "deterministic")
    if old != now:
        wanted = "bitwise" if old else "fast"
        yield Difference("determinism", "deterministic", old, now, True, f"run with `--determinism {wanted}`")


def _hash_seed(original: Recorded, new: Recorded) -> Iterator[Difference]:
    old, now = _recorded_hash_seed(original), _recorded_hash_seed(new)
    if None not in (old, now) and str(old) != str(now):
        hint = f"run with `{HASH_SEED}={old} mlgym ...`: the order of sets depends on it"
        yield Difference("hash_seed", HASH_SEED, old, now, True, hint)


def _torch_flags(original: Recorded, new: Recorded) -> Iterator[Difference]:
    before = _section(_section(original, "torch") or {}, "flags") or {}
    after = _section(_section(new, "torch") or {}, "flags") or {}
    determinism, now_determinism = _both(original, new, "deterministic")
    explained = FOLLOW_DETERMINISM if determinism != now_determinism else ()
    for name in before:
        old, now = _both(before, after, name)
        if old == now or name in explained:
            continue
        changes = not (str(name).startswith("cudnn") and _without_gpus(original) and _without_gpus(new))
        hint = f"the run, or a module that it imports, must set `{name}` to {old}"
        yield Difference("torch_flag", str(name), old, now, changes, hint)


def _variables(original: Recorded, new: Recorded) -> Iterator[Difference]:
    before, after = _section(original, "environment_variables"), _section(new, "environment_variables")
    if before is None or after is None:
        return
    threads, now_threads = _both(original, new, "threads")
    explained = (HASH_SEED, *(_FOLLOW_THREADS if threads != now_threads else ()))
    is_without_gpus = _without_gpus(original) and _without_gpus(new)
    for name in sorted(map(str, {*before, *after})):
        old, now = _scalar(before, name), _scalar(after, name)
        if old == now or name in explained:
            continue
        hint = f"`unset {name}`" if old is None else f"`export {name}={shlex.quote(str(old))}`"
        changes = variable_changes_bits(str(name)) and not (name.startswith(_OF_GPUS) and is_without_gpus)
        # PyTorch is told its threads by a call, whatever stands there.
        changes &= name not in _FOLLOW_THREADS or {old, now} != {None, str(threads)}
        yield Difference("environment_variable", str(name), old, now, changes, hint)


def _python(original: Recorded, new: Recorded) -> Iterator[Difference]:
    before, after = _section(original, "python") or {}, _section(new, "python") or {}
    for key in ("implementation", "version"):
        old, now = _both(before, after, key)
        if old != now:
            name = _scalar(before, "implementation") or "Python"
            hint = f"use {name if name != 'CPython' else 'Python'} {_scalar(before, 'version') or old}"
            yield Difference("python", key, old, now, True, hint)


def _packages(original: Recorded, new: Recorded) -> Iterator[Difference]:
    before, after = _by_package(original, "packages"), _by_package(new, "packages")
    if not before or not after:
        return
    # Runs of older versions recorded a few packages only: what they lack may have been there.
    lists_all = "package_hashes" in original
    content, now_content = _by_package(original, "package_hashes"), _by_package(new, "package_hashes")
    found = []
    for name in sorted({*before, *after}):
        old, now = _text(before.get(name)), _text(after.get(name))
        if old is None and not lists_all:
            continue
        if old == now:
            old, now = _hash_of(content.get(name)), _hash_of(now_content.get(name))
            if old is None or now is None or old == now:
                continue
            hint = f"`{name}` has the same version but other files: `pip install --force-reinstall {name}`"
            if name == "mlgym":
                hint = "MLgym's own source changed: go back to the commit that the original run was made with"
        elif old is None:
            hint = f"`pip uninstall {name}`, if anything imports it"
        else:
            hint = f"`pip install {name}=={old}`"
        found.append(Difference("package", name, old, now, package_changes_bits(name), hint))
    # What computes everything comes before the many that only something may use.
    yield from sorted(found, key=lambda each: (not each.changes_bits, _rank(each.key)))


def _torch_build(original: Recorded, new: Recorded) -> Iterator[Difference]:
    before, after = _section(original, "torch") or {}, _section(new, "torch") or {}
    versions = _by_package(original, "packages").get("torch"), _by_package(new, "packages").get("torch")
    for key in ("cuda", "cudnn", "config"):
        old, now = _both(before, after, key)
        # Another version has another build: said already.
        if old == now or (key == "config" and versions[0] != versions[1]):
            continue
        if key == "config":
            old, now = _differing_lines(str(old), str(now))
        hint = "install the same build of PyTorch, from the same index (CPU, CUDA version)"
        yield Difference("torch_build", key, old, now, True, hint)


def _cpu(original: Recorded, new: Recorded) -> Iterator[Difference]:
    before, after = _section(original, "cpu") or {}, _section(new, "cpu") or {}
    old, now = _both(before, after, "isa")
    if old != now:
        yield Difference("cpu", "isa", old, now, True, _instruction_set_hint(str(old), str(now)))
    old, now = _both(before, after, "model")
    if old != now:
        hint = f"for equal bits run on `{old}`: libraries choose their kernels by the processor"
        yield Difference("cpu", "model", old, now, True, hint)


def _gpus(original: Recorded, new: Recorded) -> Iterator[Difference]:
    before, after = _gpu_names(original), _gpu_names(new)
    if before is not None and after is not None and before != after:
        hint = f"run on {before[0]}" if before else "the original machine had no GPU; it makes no difference on `cpu`"
        yield Difference("gpu", "gpus", ", ".join(before), ", ".join(after), bool(before), hint)
    old, now = _both(original, new, "driver")
    if old != now:
        yield Difference("gpu", "driver", old, now, bool(before), f"install version {old} of the GPU driver")


def _platform(original: Recorded, new: Recorded) -> Iterator[Difference]:
    before, after = _section(original, "platform") or {}, _section(new, "platform") or {}
    for key, changes in (("machine", True), ("system", True), ("libc", True), ("release", False)):
        old, now = _both(before, after, key)
        if old != now:
            yield Difference("platform", key, old, now, changes, f"run on a system with {key} `{old}`")


def _git(original: Recorded, new: Recorded) -> Iterator[Difference]:
    before, after = _section(original, "git"), _section(new, "git")
    if before is None or after is None:
        return
    # Where the user's modules are the same, byte for byte, the rest of the repository changes nothing.
    code, now_code = _section(original, "code"), _section(new, "code")
    changes = code is None or now_code is None or any(each.changes_bits for each in _code(original, new))
    old, now = _both(before, after, "commit")
    if old != now:
        yield Difference("git", "commit", old, now, changes, f"`git checkout {old}`")
    old, now = _both(before, after, "diff_sha256")
    if old != now:
        hint = "bring back the uncommitted changes: `git.diff` in the original environment.json has them"
        yield Difference("git", "diff", old, now, changes, hint)
        return
    old, now = _both(before, after, "dirty")
    if old != now:
        hint = "the original had uncommitted changes, which nobody kept" if old else "commit or undo your changes"
        yield Difference("git", "dirty", old, now, changes, hint)


_SECTIONS: Final[tuple[Callable[[Recorded, Recorded], Iterator[Difference]], ...]] = (
    _code,
    _threads,
    _world,
    _determinism,
    _hash_seed,
    _torch_flags,
    _variables,
    _packages,
    _torch_build,
    _python,
    _cpu,
    _gpus,
    _platform,
    _git,
)  # fmt: skip
"""In the order of importance."""


def _section(recorded: Recorded, key: str) -> Recorded | None:
    """Gives a mapping within a record, None where there is none."""
    value = recorded.get(key)
    return value if isinstance(value, Mapping) else None


def _scalar(recorded: Recorded, key: str) -> Scalar | None:
    """Gives a plain value of a record; None where there is none, or something that cannot be one."""
    value = recorded.get(key)
    return value if isinstance(value, str | int | float) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _both(before: Recorded, after: Recorded, key: str) -> tuple[Scalar | None, Scalar | None]:
    """Gives the value of a key in both records, (None, None) where one does not know it."""
    old, now = _scalar(before, key), _scalar(after, key)
    return (None, None) if old is None or now is None else (old, now)


def _recorded_hash_seed(recorded: Recorded) -> Scalar | None:
    seed = _scalar(recorded, "hash_seed")
    return seed if seed is not None else _scalar(_section(recorded, "environment_variables") or {}, HASH_SEED)


def _hash_of(value: Any) -> str | None:
    """Gives the sha256 in a record of a file or a package."""
    return _text(value.get("sha256")) if isinstance(value, Mapping) else None


def _by_package(recorded: Recorded, key: str) -> dict[str, Any]:
    return {normalized(str(name)): value for name, value in (_section(recorded, key) or {}).items()}


def _rank(package: str) -> int:
    first = ("torch", "mlgym", "numpy", "scikit-learn", "scipy", "torchmetrics")
    return first.index(package) if package in first else len(first)


def _without_gpus(recorded: Recorded) -> bool:
    return _gpu_names(recorded) == []


def _gpu_names(recorded: Recorded) -> list[str] | None:
    gpus = recorded.get("gpus")
    if not isinstance(gpus, list):
        return None
    return [str(_scalar(gpu, "name") or "unknown") if isinstance(gpu, Mapping) else "unknown" for gpu in gpus]


def _differing_lines(old: str, now: str) -> tuple[str, str]:
    """Gives the lines of two texts that only one of them has."""
    before, after = old.splitlines(), now.splitlines()
    return (
        "\n".join(line.strip() for line in before if line not in after),
        "\n".join(line.strip() for line in after if line not in before),
    )


def _instruction_set_hint(old: str, now: str) -> str:
    if old in _INSTRUCTION_SETS and now in _INSTRUCTION_SETS:
        if _INSTRUCTION_SETS.index(old) < _INSTRUCTION_SETS.index(now):
            return f"run with `ATEN_CPU_CAPABILITY={old.lower()} ONEDNN_MAX_CPU_ISA={_ONEDNN_NAMES[old]} mlgym ...`"
        return f"run on a processor with {old}; this one has {now}"
    return f"run on a processor that PyTorch uses as {old}"
