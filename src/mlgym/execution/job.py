"""What travels between the driver and those who run experiments: the job, how it ended, and the signals between them.

Plain data only: jobs are JSON, so that a fork server, a fresh interpreter or another machine reads the same bytes.
"""

from __future__ import annotations

import signal
from typing import Any, Final

import msgspec

from mlgym.execution.devices import label_of

STOP_SIGNAL: Final = signal.SIGTERM
"""Asks a worker to stop at the next step boundary, because the run was interrupted."""
TIME_LIMIT_SIGNAL: Final = signal.SIGUSR2
"""Asks a worker to stop at the next step boundary, because the experiment took too long."""
BATCH_SIGNAL: Final = signal.SIGUSR1
"""What batch systems send to every process of a job before its time is up; to a worker it means `STOP_SIGNAL`."""
DEFAULT_ENTRY: Final = "mlgym.execution.processes.worker:run_job"


class Job(msgspec.Struct, kw_only=True, frozen=True):
    """One experiment, ready to be run by any executor.

    Args:
        run_id: the run it belongs to.
        experiment_id: its number in the run, from 0.
        job_id: `<run_id>-<n>`, unique in the run.
        run_dir: the run folder, absolute.
        config: the resolved, sweep-free config.
        imports: the user's modules, imported before the config is built.
        folder: where the config file lies and the user's modules are looked for first; None without a file.
        main_script: the driver's script, where components are defined in it.
        seed: the seed of the experiment, >= 0.
        device: where tensors live, such as `cpu` or `cuda:1`; that of the first rank where there are several.
        devices: the device of each rank; empty for one process on `device`.
        threads: threads of one operation, >= 1.
        deterministic: refuse operations without a reproducible algorithm.
        attempt: 0 for the first time, 1 after one resume ...; later ones go on from the newest checkpoint.
        lineage: one more than before where the continuation need not be bit-identical to what came before.
        allow_data_change: go on though the data is not what the experiment was trained with so far.
        known_data: by split `sha256` and `num_samples` of the data that the log says it was begun with.
        known_checkpoints: paths, relative to the run folder, of the checkpoints that the log says stand.
        checkpoint_place: address where checkpoints stand beside the run folder, as `open_place` takes it, or None.
        local_checkpoints: whether those that stand there stay in the run folder, too.
        is_scratch: whether the run folder is one of the worker's machine that goes when the job ends.
        fold: the fold that `$run.fold` refers to, from 0; None where nothing is cross-validated.
        until_epoch: ends after so many epochs, ready to go on to those of the config, >= 1; None for all of them.
        time_limit_s: the limit that the executor enforces, in s, for the error's text; None for none.
        entry: `module:function` that does the work, called with (job, sink, stop).
        code: sha256 (hex) of each of the user's modules as the driver recorded them; empty where nobody looks.
        code_before: of those of them that were others in the attempt before this one, as they were there.
    """

    run_id: str
    experiment_id: int
    job_id: str
    run_dir: str
    config: dict[str, Any]
    imports: list[str] = []
    folder: str | None = None
    main_script: str | None = None
    seed: int = 0
    device: str = "cpu"
    devices: list[str] = []
    threads: int = 1
    deterministic: bool = True
    attempt: int = 0
    lineage: int = 0
    allow_data_change: bool = False
    known_data: dict[str, dict[str, Any]] = {}
    known_checkpoints: list[str] = []
    checkpoint_place: str | None = None
    local_checkpoints: bool = True
    is_scratch: bool = False
    fold: int | None = None
    until_epoch: int | None = None
    time_limit_s: float | None = None
    entry: str = DEFAULT_ENTRY
    code: dict[str, str] = {}
    code_before: dict[str, str] = {}

    @property
    def world_size(self) -> int:
        """How many processes train it together."""
        return max(1, len(self.devices))

    @property
    def device_label(self) -> str:
        """All its devices in a line, such as `cuda:1` or `cpu x2`."""
        return label_of(self.devices or [self.device])


class Exit(msgspec.Struct, kw_only=True, frozen=True):
    """How the process of a job ended.

    Args:
        code: exit status, or None where it has none.
        signal: number of the signal that ended it, or None.
        reason: why, where neither says it, such as a lost fork server.
        lost: what it ran on went away under it, such as a node of a cluster: another attempt may well succeed.
        cpu_s: CPU time of the process and the children it waited for, user and system, in s.
        max_rss_bytes: largest resident memory of the process.
    """

    code: int | None = None
    signal: int | None = None
    reason: str | None = None
    lost: bool = False
    cpu_s: float = 0.0
    max_rss_bytes: int = 0

    @property
    def signal_name(self) -> str | None:
        """Name of the signal, such as `SIGKILL`; None where there was none."""
        if self.signal is None:
            return None
        try:
            return signal.Signals(self.signal).name
        except ValueError:
            return f"signal {self.signal}"

    def describe(self) -> str:
        """Gives the end as the second half of a sentence that begins with "worker"."""
        if self.reason is not None:
            return self.reason
        if self.signal is not None:
            return f"was killed by {self.signal_name}"
        return f"exited with code {self.code} without finishing"


def time_limit_error(limit_s: float) -> str:
    """Gives the error of an experiment that took too long."""
    return f"exceeded its time limit of {limit_s:g} s"


_DECODER: Final = msgspec.json.Decoder(Job)


def encode_job(job: Job) -> bytes:
    """Gives the job as JSON."""
    return msgspec.json.encode(job)


def decode_job(data: bytes) -> Job:
    """Gives the job behind JSON.

    Raises:
        msgspec.DecodeError: the data is no job.
    """
    return _DECODER.decode(data)
