"""Starting a run from Python; the command line calls the same function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mlgym.api.arguments import command_text, override_texts
from mlgym.api.given_options import check_given
from mlgym.api.launch_check import check_cluster_options, check_launch, local_devices
from mlgym.api.results import Run
from mlgym.api.resumption import go_on, unfinished_run
from mlgym.api.together import by_rank_0, executor_and_size
from mlgym.config import check, load
from mlgym.display.progress import open_display
from mlgym.display.reproduction import tell
from mlgym.execution import RunOptions, launch
from mlgym.execution.ray_options import RayOptions
from mlgym.names import DEFAULT_STORAGE
from mlgym.tracking import find_run
from mlgym.tracking.delivery import Hubs
from mlgym.tracking.places import check_place


@by_rank_0
def run(
    config: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    storage: str | Path = DEFAULT_STORAGE,
    run_id: str | None = None,
    executor: Literal["processes", "inline", "ray", "slurm"] | None = None,
    processes: int | None = None,
    devices: Sequence[str] = ("cpu",),
    slots_per_device: int | Literal["auto"] = 1,
    devices_per_experiment: int = 1,
    retries: int = 0,
    node_retries: int | None = None,
    ray: RayOptions | Mapping[str, Any] | None = None,
    slurm: Mapping[str, str | Sequence[str]] | None = None,
    threads: int | Literal["auto"] = 1,
    time_limit_s: float | None = None,
    determinism: Literal["bitwise", "fast"] = "bitwise",
    text_logging_path: str | Path | None = None,
    websocket_logging_servers: Sequence[str] = (),
    rest_endpoint: str | None = None,
    checkpoint_place: str | None = None,
    local_checkpoints: bool = True,
    auto_resume: bool | None = None,
    command: Sequence[str] = (),
    progress: bool = True,
    **changes: Any,
) -> Run:
    """Runs every experiment that a config unfolds into, and gives the run when all have ended.

    Args:
        config: a YAML file, or the same as nested mappings.
        overrides: changes as the command line takes them, `"optimizer.lr=0.01"`.
        storage: where the run folder goes.
        run_id: its name; None for the time of the start.
        executor: `processes`, the default: a fresh process per experiment; `inline`: one after the other in this one;
            `ray`: a fresh process per experiment on the nodes of a Ray cluster; `slurm`: jobs of a batch system.
        processes: experiments at a time; None: one per core, or per slot of the devices.
        devices: such as `cpu` or `cuda:0`, `cuda:1`.
        slots_per_device: experiments at a time on one GPU; `auto` for as many as its memory has room for.
        devices_per_experiment: devices that each experiment is trained on together, with a process on each; on the CPU,
            processes.
        retries: how often an experiment that fails is tried again, from its newest checkpoint.
        node_retries: how often an experiment goes on elsewhere when what it ran on is lost, such as a node; None for 3.
        ray: the cluster of the executor `ray`: `address`, `insecure`, `code` and `wait_s` of `RayOptions`, by name;
            None starts one on this machine for this run.
        threads: threads of one operation in each experiment, a part of its identity; `auto` shares out the cores.
        time_limit_s: an experiment that takes longer fails; > 0, None for no limit.
        determinism: `fast` allows operations whose results differ between repetitions.
        text_logging_path: folder for the output of each experiment as text.
        websocket_logging_servers: addresses of hubs that get the events as they happen, such as
            `http://127.0.0.1:8080` of `mlgym board`; they are shown the token in `MLGYM_TOKEN`.
        rest_endpoint: address of a hub, which is kept like the run folder while the run goes on; None for none.
        slurm: options of the jobs of the executor `slurm` by key, such as `{"partition": "gpu", "time": "240"}`.
        checkpoint_place: where checkpoints stand beside the run folder: a URL such as `s3://bucket/prefix` or
            `file:///mnt/shared/checkpoints`, or `hub` for the one of `rest_endpoint`; None for the run folder alone.
        local_checkpoints: whether checkpoints that stand there stay in the run folder, too.
        auto_resume: go on with the newest unfinished run of the same config (the one of `run_id`, where that exists)
            instead of starting another one; None for what the config says.
        command: how the run was launched, for the record; empty for this process's own command line.
        progress: show progress on stderr.
        changes: changes by key, `**{"optimizer.lr": 0.01}`; the same as `overrides`.

    Returns:
        The finished run; `exit_code` and `num_failed` say how it went.

    Raises:
        ConfigError: the config is wrong; nothing was started.
        RunError: the run could not be started, for a device that is not there, for example.
    """
    overrides = [*overrides, *override_texts(changes)]
    executor, size = executor_and_size(executor, processes, devices_per_experiment)
    executor, devices_per_experiment = executor or "processes", size or 1
    check_cluster_options(executor, ray, slurm)
    document = load(config, overrides)
    space = check(document)
    logs = None if text_logging_path is None else Path(text_logging_path)
    hubs = Hubs(websocket_logging_servers=tuple(websocket_logging_servers), rest_endpoint=rest_endpoint)
    check_launch(devices=local_devices(executor, devices), threads=threads, text_logging_path=logs, hubs=hubs)
    if checkpoint_place is not None:
        check_place(
            checkpoint_place,
            storage=Path(storage),
            rest_endpoint=rest_endpoint,
            is_one_process=executor == "inline",
        )
    options = RunOptions(
        storage=Path(storage),
        run_id=run_id,
        executor=executor,
        processes=processes,
        devices=tuple(devices),
        slots_per_device=slots_per_device,
        devices_per_experiment=devices_per_experiment,
        retries=retries,
        node_retries=RunOptions.node_retries if node_retries is None else node_retries,
        ray=RayOptions().changed(ray),
        slurm=dict(slurm or {}),
        threads=threads,
        time_limit_s=time_limit_s,
        text_logging_path=logs,
        hubs=hubs,
        checkpoint_place=checkpoint_place,
        local_checkpoints=local_checkpoints,
        determinism=determinism,
    )
    given = {
        "executor": executor,
        "processes": processes,
        "devices": tuple(devices),
        "slots_per_device": slots_per_device,
        "devices_per_experiment": devices_per_experiment,
        "retries": retries,
        "node_retries": node_retries,
        "ray": ray,
        "slurm": slurm or None,
        "time_limit_s": time_limit_s,
        "text_logging_path": logs,
        "hubs": hubs,
        "checkpoint_place": checkpoint_place,
        "local_checkpoints": local_checkpoints,
    }
    check_given(given, options)
    unfinished = unfinished_run(document, options) if _wants(auto_resume, document.auto_resume) else None
    if unfinished is not None:
        if progress:
            tell(f"going on with run {unfinished.run_id}")
        return go_on(unfinished, lambda held: document, given, command=command, progress=progress)
    display = open_display() if progress else None
    try:
        summary = launch(document, space, options, command=command_text(command), observer=display)
    finally:
        if display is not None:
            display.close()
    return Run(find_run(Path(storage), summary.run_id))


def _wants(given: bool | None, configured: bool) -> bool:
    return configured if given is None else given
