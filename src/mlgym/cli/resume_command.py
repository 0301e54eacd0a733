"""The command `resume`: goes on with a run, shows progress and the table at the end."""

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
    HubUrl,
    HubUrls,
    LocalCheckpoints,
    Overrides,
    Storage,
    TextLogs,
    choice,
    names,
    number_or_auto,
)
from mlgym.cli.outcome import show_results
from mlgym.cli.pipes import readers_may_leave
from mlgym.names import DEFAULT_STORAGE


def resume(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="Run id, the beginning of one, or `latest`.")],
    overrides: Overrides = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="The config as it is now; default: as the run was started.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=0, help="Instead of the config's; finished experiments go on to them.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed experiments again, from their last checkpoint.")
    ] = False,
    allow_config_change: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-config-change",
            metavar="KEY",
            help="Go on although this key of the config, or what is below it, has changed.",
        ),
    ] = None,
    allow_data_change: Annotated[
        bool, typer.Option("--allow-data-change", help="Go on although the data is not what it was; the log says so.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option("--processes", "-p", min=1, help="Experiments at a time; default: as before.")
    ] = None,
    devices: Annotated[
        str | None, typer.Option("--devices", help="Such as `cpu` or `cuda:0,cuda:1`; default: as before.")
    ] = None,
    slots_per_device: Annotated[
        str | None, typer.Option("--slots-per-device", help="Experiments on one GPU, or `auto`; default: as before.")
    ] = None,
    devices_per_experiment: Annotated[
        int | None,
        typer.Option("--devices-per-experiment", min=1, help="Devices of one experiment; default: as before."),
    ] = None,
    retries: Annotated[
        int | None, typer.Option("--retries", min=0, help="Tries of a failed experiment again; default: as before.")
    ] = None,
    executor: Annotated[
        str | None, typer.Option("--executor", help="`processes`, `inline`, `ray` or `slurm`; default: as before.")
    ] = None,
    time_limit_s: Annotated[
        float | None, typer.Option("--time-limit-s", min=0, help="Limit for each experiment; default: as before.")
    ] = None,
    storage: Storage = Path(DEFAULT_STORAGE),
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Go on with a run where each of its experiments stands."""
    follow_rank_0()
    from mlgym.api import resume as resume_run

    resumed = resume_run(
        run_id,
        overrides=overrides or [],
        config=config,
        epochs=epochs,
        retry_failed=retry_failed,
        allow_config_change=allow_config_change or [],
        allow_data_change=allow_data_change,
        storage=storage,
        executor=None if executor is None else choice(executor, EXECUTORS, "--executor"),
        processes=processes,
        devices=None if devices is None else names(devices),
        slots_per_device=None if slots_per_device is None else number_or_auto(slots_per_device, "--slots-per-device"),
        devices_per_experiment=devices_per_experiment,
        retries=retries,
        node_retries=node_retries,
        ray=ray_options(address, insecure_cluster, ray_code, cluster_wait_s),
        slurm=slurm_options(slurm),
        time_limit_s=time_limit_s,
        text_logging_path=text_logging_path,
        websocket_logging_servers=websocket_logging_servers or [],
        rest_endpoint=rest_endpoint,
        checkpoint_place=checkpoint_place,
        local_checkpoints=local_checkpoints,
        command=["mlgym", *sys.argv[1:]],
        progress=not as_json or sys.stderr.isatty(),
    )
    with readers_may_leave():
        show_results(resumed, as_json=as_json)
    raise typer.Exit(resumed.exit_code)


def add_to(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command()(resume)
