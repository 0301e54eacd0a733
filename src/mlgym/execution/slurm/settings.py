"""What `--slurm KEY=VALUE` may say: options of `sbatch` by the names that submitit gives them, and a few of our own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from mlgym.errors import RunError
from mlgym.names import did_you_mean

Cluster: TypeAlias = Literal["slurm", "local"]
Options: TypeAlias = Mapping[str, str | Sequence[str]]
"""Values as they were given; a key that was given several times has several."""

DEFAULT_SLOTS: Final = 100
"""Experiments in SLURM's hands at a time where nobody says how many: below the largest array of most clusters."""

_OWN: Final = ("cluster", "poll_every_s", "signal_delay_s", "setup")
_COMMANDS: Final = ("sbatch", "srun", "scancel")
_SIGNAL_DELAY_S: Final = 120
_POLL_EVERY_S: Final[dict[Cluster, float]] = {"slurm": 10.0, "local": 0.5}
# What submitit's executors would do otherwise: five minutes for a job, and its own name as a workload key.
# Without `srun` a task is the batch script's own process, which a signal reaches alone: loaders' workers die of it.
_DEFAULTS: Final[dict[str, Any]] = {"time": None, "wckey": None, "use_srun": False}
# What says how many cores an experiment gets, or that it gets a whole node.
_CPUS: Final = (
    "cpus_per_task",
    "cpus_per_gpu",
    "exclusive",
    "sbatch.cpus-per-task",
    "sbatch.cpus-per-gpu",
    "sbatch.exclusive",
)
_OURS: Final = {
    "nodes": "an experiment runs on one node",
    "ntasks_per_node": "an experiment is one task, which starts its own processes",
    "use_srun": "MLgym starts a task's processes itself",
    "srun_args": "MLgym starts a task's processes itself",
    "stderr_to_stdout": "both are read",
    "additional_parameters": "name any option of sbatch as `sbatch.NAME=VALUE`",
    "num_gpus": "use `gpus_per_node`",
    "teardown": "tasks end in many ways; use an epilog of the cluster",
    "dependency": "MLgym submits experiments when it is their turn",
}


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """How experiments are submitted.

    Args:
        cluster: `slurm`, or `local` for submitit's stand-in on this machine.
        poll_every_s: seconds, > 0, from one question to SLURM about the state of jobs to the next.
        signal_delay_s: seconds, > 0, before the end of its time at which an experiment is told to save and requeue.
        parameters: for submitit's executor.
    """

    cluster: Cluster
    poll_every_s: float
    signal_delay_s: int
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, options: Options, *, num_slots: int, device: str, name: str | None, num_cpus: int = 1) -> SlurmSettings:
        """Gives the settings that options ask for.

        Args:
            options: by key.
            num_slots: experiments in SLURM's hands at a time.
            device: where tensors live, such as `cpu` or `cuda:0`.
            name: of the run, for lists of jobs.
            num_cpus: cores that one experiment computes on: asked for where no option says how many.

        Raises:
            RunError: submitit or SLURM is not installed, or an option is unknown or out of range.
        """
        known = _submitit_parameters()
        cluster = _choice(_single(options, "cluster", "slurm"))
        missing = [name for name in _COMMANDS if cluster == "slurm" and shutil.which(name) is None]
        if missing:
            raise RunError(
                f"there is no `{missing[0]}` on this machine: start the run where SLURM's commands are, such as a "
                "login node; `--slurm cluster=local` tries it out here"
            )
        parameters: dict[str, Any] = {**_DEFAULTS, "array_parallelism": num_slots, "job_name": name or "mlgym"}
        extra: dict[str, Any] = {}
        for key in options:
            if key in _OURS:
                raise RunError(f"`--slurm {key}` cannot be set: {_OURS[key]}")
            if key.startswith("sbatch."):
                extra[key.removeprefix("sbatch.")] = _value(_single(options, key, ""))
            elif key not in _OWN:
                if key not in known:
                    raise RunError(f"{_unknown_text(key, known)}; other options of sbatch: `sbatch.NAME=VALUE`")
                parameters[key] = _value(_single(options, key, ""))
        if num_cpus > 1 and not any(key in _CPUS for key in options):
            parameters["cpus_per_task"] = num_cpus
        delay = _positive(options, "signal_delay_s", _SIGNAL_DELAY_S)
        if "setup" in options:
            lines = options["setup"]
            parameters["setup"] = [lines] if isinstance(lines, str) else list(lines)
        _refuse_idle_gpus(parameters, device)
        # `--requeue` lets an experiment put itself back into the queue, whatever the cluster's default.
        parameters["additional_parameters"] = {"requeue": True, "signal": f"B:USR2@{int(delay)}", **extra}
        return cls(
            cluster=cluster,
            poll_every_s=_positive(options, "poll_every_s", _POLL_EVERY_S[cluster]),
            signal_delay_s=int(delay),
            parameters=parameters,
        )


def _submitit_parameters() -> set[str]:
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise RunError("`--executor slurm` needs submitit: pip install 'mlgym[slurm]'") from error
    return SlurmExecutor._valid_parameters()


def _unknown_text(key: str, known: set[str]) -> str:
    names = sorted({*_OWN, *known} - _OURS.keys())
    return f"`--slurm` knows no `{key}`{did_you_mean(key, names, max_listed=len(names))}"


def _single(options: Options, key: str, default: str) -> str:
    value = options.get(key, default)
    if not isinstance(value, str):
        raise RunError(f"`--slurm {key}` is given {len(value)} times; once is enough")
    return value


def _choice(cluster: str) -> Cluster:
    if cluster == "debug":
        raise RunError("`--slurm cluster=debug` is `--executor inline`: experiments run in this process")
    for known in _POLL_EVERY_S:
        if known == cluster:
            return known
    raise RunError(f"`--slurm cluster` is `slurm` or `local`, not `{cluster}`")


def _positive(options: Options, key: str, default: float) -> float:
    text = _single(options, key, str(default))
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise RunError(f"`--slurm {key}` must be a number above 0, but is `{text}`")
    return number


def _value(text: str) -> str | int | bool:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdecimal() else text


def _refuse_idle_gpus(parameters: Mapping[str, Any], device: str) -> None:
    asked = [key for key in ("gpus_per_node", "gpus_per_task") if parameters.get(key)]
    if asked and device == "cpu":
        raise RunError(
            f"`--slurm {asked[0]}={parameters[asked[0]]}` asks for GPUs, but the experiments run on `cpu`: add "
            "`--devices cuda:0`"
        )
