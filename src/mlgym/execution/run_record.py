"""What a run folder says of how the run was launched: written at the launch, read by whoever goes on with the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mlgym.config import Document, dump_yaml
from mlgym.config.load import parse_yaml
from mlgym.config.nodes import Source, to_plain
from mlgym.errors import ConfigError, RunError
from mlgym.execution.environment import recorded_command
from mlgym.execution.options import Determinism, ExecutorKind, RunOptions
from mlgym.execution.ray_options import CodeTransport
from mlgym.names import TRACKED
from mlgym.tracking import RunFolder
from mlgym.tracking.hub_client import without_user

CONFIG_FILE: Final = "grid_search_config.yml"
RUN_CONFIG_FILE: Final = "run_config.yml"
ENVIRONMENT_FILE: Final = "environment.json"
EXPERIMENT_CONFIG_FILE: Final = "experiment_config.json"
UNPACKED_CODE: Final = "unpacked_code"


class RunRecord(msgspec.Struct, kw_only=True, frozen=True):
    """The content of `run_config.yml`.

    Args:
        command: how the run was launched.
        overrides: the command line's changes to the config.
        folder: where the config file lay, absolute; it may be gone or be on another machine.
        config: what makes it this run: the merged config; None in runs of older versions.
        admitted_changes: keys of the config that somebody allowed to differ from what the run was started with.
        executor, devices, slots_per_device, devices_per_experiment, retries, time_limit_s, grace_s: as in `RunOptions`.
        node_retries: as in `RunOptions`.
        ray_address, ray_code, ray_wait_s: as in `RayOptions`; that a cluster is insecure has to be said each time.
        processes: experiments at the same time.
        processes_as_given: the same as it was asked for; None for one per core or slot.
        threads: threads of one operation in each experiment.
        threads_as_given: the same as it was asked for.
        determinism: as in `RunOptions`.
        websocket_logging_servers, rest_endpoint: the hubs of the launch, for whoever looks for the run; nobody sends
            anything there because of it.
        slurm: as in `RunOptions`.
        checkpoint_place, local_checkpoints: as in `RunOptions`.
        reproduces: the run whose results this one is to reproduce; None for none.
        versions: of python and packages, by name.
    """

    command: list[str] = []
    overrides: list[str] = []
    folder: str | None = None
    executor: ExecutorKind = "processes"
    devices: tuple[str, ...] = ("cpu",)
    slots_per_device: int | Literal["auto"] = 1
    devices_per_experiment: int = 1
    retries: int = 0
    node_retries: int = 3
    ray_address: str | None = None
    ray_code: CodeTransport = "upload"
    ray_wait_s: float = 0.0
    slurm: dict[str, str | list[str]] = {}
    processes: int = 1
    processes_as_given: int | None = None
    threads: int = 1
    threads_as_given: int | str = 1
    determinism: Determinism = "bitwise"
    websocket_logging_servers: tuple[str, ...] = ()
    rest_endpoint: str | None = None
    checkpoint_place: str | None = None
    local_checkpoints: bool = True
    reproduces: str | None = None
    time_limit_s: float | None = None
    grace_s: float = 30.0
    versions: dict[str, str] = {}
    admitted_changes: list[str] = []
    config: dict[str, Any] | None = None

    @property
    def usual_executor(self) -> ExecutorKind:
        """What goes on with the run where nobody says it: processes of its own for one that `torchrun` had started."""
        return "processes" if self.executor == "inline" and self.devices_per_experiment > 1 else self.executor

    def code_folder(self, run: RunFolder) -> Path | None:
        """Gives where the user's modules are looked for: None where that is unknown or gone.

        That is the code that came with the run out of an archive, else where the config lay. Code never comes out of a
        run folder, which may have come from anywhere.
        """
        unpacked = unpacked_code_folder(run)
        if unpacked.is_dir():
            return unpacked
        place = Path(self.folder) if self.folder else None
        if place is None or not place.is_absolute() or not place.is_dir():
            return None
        return None if place.resolve().is_relative_to(run.path.resolve()) else place


def unpacked_code_folder(run: RunFolder) -> Path:
    """Gives where `mlgym unpack` puts the user's modules of a run: beside the storage folder, absolute."""
    return run.storage.absolute().parent / UNPACKED_CODE / run.run_id


def record_of(
    document: Document,
    options: RunOptions,
    *,
    command: Sequence[str],
    num_slots: int,
    threads: int,
    versions: Mapping[str, str],
) -> RunRecord:
    """Gives the record of a launch.

    Args:
        document: the config.
        options: how it is launched.
        command: how that was asked for.
        num_slots: experiments at the same time.
        threads: threads of one operation in each of them.
        versions: of python and packages, by name.
    """
    return RunRecord(
        command=recorded_command(command),
        overrides=list(document.overrides),
        folder=str(document.folder.absolute()),
        executor=options.executor,
        devices=tuple(options.devices),
        slots_per_device=options.slots_per_device,
        devices_per_experiment=options.devices_per_experiment,
        retries=options.retries,
        node_retries=options.node_retries,
        ray_address=options.ray.address,
        ray_code=options.ray.code,
        ray_wait_s=options.ray.wait_s,
        slurm={key: value if isinstance(value, str) else list(value) for key, value in options.slurm.items()},
        processes=num_slots,
        processes_as_given=options.processes,
        threads=threads,
        threads_as_given=options.threads,
        determinism=options.determinism,
        websocket_logging_servers=tuple(map(without_user, options.hubs.websocket_logging_servers)),
        rest_endpoint=without_user(options.hubs.rest_endpoint) if options.hubs.rest_endpoint else None,
        checkpoint_place=options.checkpoint_place,
        local_checkpoints=options.local_checkpoints,
        reproduces=options.reproduces,
        time_limit_s=options.time_limit_s,
        grace_s=options.grace_s,
        versions=dict(versions),
        config=document.identity,
    )


def write_record(folder: RunFolder, record: RunRecord) -> None:
    """Writes the record of a run, whole or not at all.

    Raises:
        RunError: it cannot be written.
    """
    folder.write_text(RUN_CONFIG_FILE, dump_yaml(msgspec.to_builtins(record)))


def read_record(folder: RunFolder) -> RunRecord:
    """Gives the record of a run; what older versions did not write has its default.

    Raises:
        RunError: it is missing or damaged.
    """
    if not (folder.path / RUN_CONFIG_FILE).is_file() and folder.state().validation_mode == TRACKED:
        raise RunError(
            f"run `{folder.run_id}` was written by a program of its own (`mlgym.track`), which MLgym cannot start: "
            f"start it yourself, and compare both runs by `mlgym report {folder.run_id} --against OTHER_RUN_ID`"
        )
    try:
        data = to_plain(parse_yaml(folder.read_text(RUN_CONFIG_FILE), Source(RUN_CONFIG_FILE)))
        return msgspec.convert(data, RunRecord)
    except (ConfigError, msgspec.ValidationError) as error:
        raise RunError(f"`{RUN_CONFIG_FILE}` of run `{folder.run_id}` is damaged: {error}") from error
