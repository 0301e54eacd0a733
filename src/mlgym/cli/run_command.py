"""The command `run`: checks a config, runs its experiments, shows progress and the table at the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mlgym.cli.cluster_options import (
    EXECUTORS,
    Address,
    ClusterWait,
    InsecureCluster,
    NodeRetries,
    RayCode,
    Slurm,
    ray_options,
    slurm_options,
)
from mlgym.cli.followers import follow_rank_0
from mlgym.cli.options import (
    CheckpointPlace,
    Config,
    HubUrl,
    HubUrls,
    LocalCheckpoints,
    Overrides,
    TextLogs,
    choice,
    names,
    number_or_auto,
)
from mlgym.cli.outcome import show_results
from mlgym.cli.pipes import readers_may_leave
from mlgym.names import DEFAULT_STORAGE


def run(
    config: Config,
    overrides: Overrides = None,
    processes: Annotated[
        int | None, typer.Option("--processes", "-p", min=1, help="Experiments at a time; default: one per core.")
    ] = None,
    devices: Annotated[str, typer.Option("--devices", help="Such as `cpu` or `cuda:0,cuda:1`.")] = "cpu",
    slots_per_device: Annotated[
        str, typer.Option("--slots-per-device", help="Experiments on one GPU; `auto`: as many as its memory takes.")
    ] = "1",
    devices_per_experiment: Annotated[
        int, typer.Option("--devices-per-experiment", min=1, help="Devices (on the CPU, processes) of one experiment.")
    ] = 1,
    retries: Annotated[
        int, typer.Option("--retries", min=0, help="Tries of a failed experiment again, from its last checkpoint.")
    ] = 0,
    threads: Annotated[
        str, typer.Option("--threads", help="Threads per experiment, a part of its identity; `auto` shares the cores.")
    ] = "1",
    epochs: Annotated[int | None, typer.Option("--epochs", min=0, help="Instead of the config's.")] = None,
    storage: Annotated[Path, typer.Option("--storage", help="Where the run folder goes.")] = Path(DEFAULT_STORAGE),
    executor: Annotated[
        str | None,
        typer.Option("--executor", help="`processes` (the default), `inline` (this process), `ray` or `slurm`."),
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Default: the time of the start.")] = None,
    time_limit_s: Annotated[
        float | None, typer.Option("--time-limit-s", min=0, help="Limit for each experiment, in seconds.")
    ] = None,
    determinism: Annotated[
        str, typer.Option("--determinism", help="`bitwise`, or `fast` (results may differ between repetitions).")
    ] = "bitwise",
    text_logging_path: TextLogs = None,
    websocket_logging_servers: HubUrls = None,
    rest_endpoint: HubUrl = None,
    checkpoint_place: CheckpointPlace = None,
    local_checkpoints: LocalCheckpoints = None,
    address: Address = None,
    insecure_cluster: InsecureCluster = False,
    ray_code: RayCode = None,
    cluster_wait_s: ClusterWait = None,
    node_retries: NodeRetries = None,
    slurm: Slurm = None,
    auto_resume: Annotated[
        bool | None,
        typer.Option(
            "--auto-resume/--no-auto-resume",
            help="Go on with the newest unfinished run of the same config, where there is one.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Run every experiment that a config unfolds into."""
    follow_rank_0()
    from mlgym.api import run as run_config

    changes = [*(overrides or []), *([f"experiment.epochs={epochs}"] if epochs is not None else [])]
    finished = run_config(
        config,
        overrides=changes,
        storage=storage,
        run_id=run_id,
        executor=None if executor is None else choice(executor, EXECUTORS, "--executor"),
        processes=processes,
        devices=names(devices),
        slots_per_device=number_or_auto(slots_per_device, "--slots-per-device"),
        devices_per_experiment=devices_per_experiment,
        retries=retries,
        node_retries=node_retries,
        ray=ray_options(address, insecure_cluster, ray_code, cluster_wait_s),
        slurm=slurm_options(slurm) or {},
        threads=number_or_auto(threads, "--threads"),
        time_limit_s=time_limit_s,
        determinism=choice(determinism, ("bitwise", "fast"), "--determinism"),
        text_logging_path=text_logging_path,
        websocket_logging_servers=websocket_logging_servers or [],
        rest_endpoint=rest_endpoint,
        checkpoint_place=checkpoint_place,
        local_checkpoints=local_checkpoints is not False,
        auto_resume=auto_resume,
        command=["mlgym", *sys.argv[1:]],
        progress=not as_json or sys.stderr.isatty(),
    )
    with readers_may_leave():
        show_results(finished, as_json=as_json)
    raise typer.Exit(finished.exit_code)


def add_to(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command()(run)
