"""The command `reproduce`: runs experiments of a run again and says whether the same comes out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from mlgym.cli.options import RunId, Storage, choice, names, number_or_auto
from mlgym.cli.outcome import storage_option
from mlgym.cli.pipes import readers_may_leave
from mlgym.display.output import print_json
from mlgym.names import DEFAULT_STORAGE

if TYPE_CHECKING:
    from mlgym.api.recorded import Choice

_DEFAULT_RTOL = 1e-3
_INTERRUPTED = 130


def reproduce(
    run_id: RunId,
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE", help="What-if changes, such as `optimizer.lr=0.01`; the verdict names them."
        ),
    ] = None,
    experiment: Annotated[
        list[int] | None,
        typer.Option("--experiment", "-e", min=0, help="This one, may be repeated; default: the best experiment."),
    ] = None,
    outer_fold: Annotated[
        int | None,
        typer.Option("--outer-fold", min=0, help="All experiments of this fold of a nested cross validation."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All experiments that finished.")] = False,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="RUN_ID", help="Compare with this run, which exists, without training."),
    ] = None,
    bisect: Annotated[
        bool, typer.Option("--bisect", help="Where bits part, find the step and the tensor by further runs.")
    ] = False,
    rtol: Annotated[
        float, typer.Option("--rtol", help="Largest relative difference of a metric within tolerance.")
    ] = _DEFAULT_RTOL,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Train to the end also when a metric has left the tolerance.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Another number of threads, as a what-if change.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", "-p", min=1, help="Experiments at a time; default: one per core.")
    ] = None,
    devices: Annotated[
        str | None, typer.Option("--devices", help="Such as `cpu` or `cuda:0,cuda:1`; default: as recorded.")
    ] = None,
    slots_per_device: Annotated[
        str | None, typer.Option("--slots-per-device", help="Experiments on one GPU, or `auto`; default: as recorded.")
    ] = None,
    devices_per_experiment: Annotated[
        int | None,
        typer.Option("--devices-per-experiment", min=1, help="Devices of one experiment; default: as recorded."),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            "--executor", help="`processes`, `inline` (this process), `ray` or `slurm`; default: as recorded."
        ),
    ] = None,
    address: Address = None,
    insecure_cluster: InsecureCluster = False,
    ray_code: RayCode = None,
    cluster_wait_s: ClusterWait = None,
    node_retries: NodeRetries = None,
    slurm: Slurm = None,
    storage: Storage = Path(DEFAULT_STORAGE),
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Run experiments of a run again and compare digest by digest: identical, within tolerance, or diverged.

    Without `--experiment` or `--all`, the best experiment is run again: the one whose number gets published. With
    `--against`, all experiments that both runs finished are compared. What differs in machine, versions, code and data
    is named first. Exit codes: 0 identical, 3 equal within tolerance, 4 diverged, 1 an experiment failed, 2 the input
    was wrong.
    """
    if against is None:
        follow_rank_0()
    from mlgym.api.recorded import OuterFold
    from mlgym.api.repeat import INTERRUPTED
    from mlgym.display.reproduction import verdicts_facts, verdicts_text
    from mlgym.reproduction.verdict import exit_code

    if every + bool(experiment) + (outer_fold is not None) > 1:
        raise typer.BadParameter("give one of `--all`, `--experiment` and `--outer-fold`", param_hint="--all")
    chosen: Choice | None = "all" if every else experiment or None
    if outer_fold is not None:
        chosen = OuterFold(outer_fold)
    if against is not None:
        from mlgym.api.reproduction import compare_runs

        _refuse_training({"--bisect": bisect, "--keep-going": keep_going, "--threads": threads, "KEY=VALUE": changes})
        verdicts = compare_runs(run_id, against, experiments=chosen or "all", rtol=rtol, storage=storage)
    else:
        from mlgym.api.reproduction import reproduce as run_again

        verdicts = run_again(
            run_id,
            experiments=chosen or "best",
            changes=changes or (),
            threads=threads,
            bisect=bisect,
            rtol=rtol,
            keep_going=keep_going,
            storage=storage,
            executor=None if executor is None else choice(executor, EXECUTORS, "--executor"),
            processes=processes,
            devices=None if devices is None else names(devices),
            slots_per_device=number_or_auto(slots_per_device, "--slots-per-device") if slots_per_device else None,
            devices_per_experiment=devices_per_experiment,
            node_retries=node_retries,
            ray=ray_options(address, insecure_cluster, ray_code, cluster_wait_s),
            slurm=slurm_options(slurm),
            command=["mlgym", *sys.argv[1:]],
            progress=not as_json or sys.stderr.isatty(),
        )
    with readers_may_leave():
        if as_json:
            print_json(verdicts_facts(verdicts))
        else:
            print(verdicts_text(verdicts))
        if against is None and not as_json:
            new_run = f"{verdicts[0].new_run_id}{storage_option(storage)}"
            print(f"\nthe new run: mlgym show {new_run}", file=sys.stderr)
    interrupted = any(verdict.error == INTERRUPTED for verdict in verdicts)
    raise typer.Exit(_INTERRUPTED if interrupted else exit_code(verdicts))


def add_to(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command()(reproduce)


def _refuse_training(options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if value:
            raise typer.BadParameter(f"compares runs that exist, and `{name}` needs training", param_hint="--against")
