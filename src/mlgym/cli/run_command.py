"""The command `run`: checks a config, runs its experiments, shows progress and the table at the end."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mlgym.cli.choices import choice
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
from mlgym.cli.pipes import readers_may_leave
from mlgym.display.output import console, print_json
from mlgym.names import DEFAULT_STORAGE, TRACKED

if TYPE_CHECKING:
    from mlgym.api import Run
    from mlgym.events import RunState

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes, such as `optimizer.lr=0.01`.")
]

HubUrls = Annotated[
    list[str] | None,
    typer.Option("--websocket-logging-servers", metavar="URL ...", help="Hubs that get the events as they happen."),
]
HubUrl = Annotated[
    str | None, typer.Option("--rest-endpoint", metavar="URL", help="Hub that keeps configs and checkpoints.")
]

CheckpointPlace = Annotated[
    str | None,
    typer.Option(
        "--checkpoint-place",
        metavar="URL",
        help="Where checkpoints stand beside the run folder: s3://..., gs://..., file:///..., or `hub`.",
    ),
]
LocalCheckpoints = Annotated[
    bool | None,
    typer.Option(
        "--local-checkpoints/--no-local-checkpoints", help="Whether those that stand there stay in the run folder."
    ),
]


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
    text_logging_path: Annotated[
        Path | None, typer.Option("--text-logging-path", help="Folder for the output of each experiment as text.")
    ] = None,
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
        executor=None if executor is None else choice(executor, EXECUTORS, "--executor"),  # type: ignore[arg-type]
        processes=processes,
        devices=names(devices),
        slots_per_device=number_or_auto(slots_per_device, "--slots-per-device"),
        devices_per_experiment=devices_per_experiment,
        retries=retries,
        node_retries=3 if node_retries is None else node_retries,
        ray=ray_options(address, insecure_cluster, ray_code, cluster_wait_s),
        slurm=slurm_options(slurm) or {},
        threads=number_or_auto(threads, "--threads"),
        time_limit_s=time_limit_s,
        determinism=choice(determinism, ("bitwise", "fast"), "--determinism"),  # type: ignore[arg-type]
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


def follow_rank_0() -> None:
    """Ends this process once it has done its share, where it was started with others and another one drives the run.

    Raises:
        typer.Exit: it has.
    """
    from mlgym.execution.group.together import follow, is_follower

    if is_follower():
        follow()
        raise typer.Exit


def show_results(finished: Run, *, as_json: bool) -> None:
    """Prints what a finished run found, the best first, and what to do next.

    That is its experiments; where these are folds or seeds of configurations, the configurations.
    """
    from mlgym.display.report_page import summary
    from mlgym.display.tables import counts_text, experiment_facts, experiments_table, run_facts
    from mlgym.validation import default_selection, rank

    state = finished.state
    selection = default_selection(state)
    if as_json:
        experiments: list[dict[str, Any]] = [experiment_facts(one) for one in rank(state, selection)]
        chosen = {"metric": selection.metric, "best": selection.best} if selection else None
        facts = run_facts(finished.run_id, state) | {"path": str(finished.path), "selection": chosen}
        print_json(facts | {"experiments": experiments})
        return
    report = finished.report().facts
    has_several = report.nested is not None or any(len(one.scores) > 1 for one in report.configurations)
    console().print(summary(report) if has_several else experiments_table(state, selection))
    elsewhere = storage_option(finished.path.parent)
    if state.status != "finished":
        print(f"\n{state.status}: {counts_text(state)}", file=sys.stderr)
    next_steps = [f"run folder: {finished.path}", f"show again: mlgym show {finished.run_id}{elsewhere}"]
    next_steps += [f"report: mlgym report {finished.run_id}{elsewhere} --to report.html"] if has_several else []
    next_steps += ways_on(finished.run_id, state, finished.path.parent)
    print("\n" + "\n".join(next_steps), file=sys.stderr)


def can_resume(state: RunState) -> bool:
    """Tells whether a run that MLgym drives ended before all its experiments had."""
    return state.status in ("interrupted", "crashed") and state.validation_mode != TRACKED


def ways_on(run_id: str, state: RunState, storage: Path) -> list[str]:
    """Gives a line for each command with which a run that has ended can go on."""
    command = f"mlgym resume {run_id}{storage_option(storage)}"
    lines = [f"resume with: {command}"] if can_resume(state) else []
    if state.status != "running" and state.validation_mode != TRACKED and _can_retry(state):
        lines.append(f"try failed experiments again: {command} --retry-failed")
    return lines


def _can_retry(state: RunState) -> bool:
    """Tells whether an experiment failed that still counts; a winner stands, whatever its competitors would come to."""
    decided = {fold for fold, selection in state.selections.items() if selection.configuration is not None}
    return any(
        one.status == "failed" and not (one.trial.get("role") == "inner" and one.trial.get("outer_fold") in decided)
        for one in state.experiments.values()
    )


def storage_option(storage: Path) -> str:
    """Gives what a command needs to find a run of a storage folder; nothing for the usual one."""
    is_usual = storage.absolute() == Path(DEFAULT_STORAGE).absolute()
    return "" if is_usual else f" --storage {shlex.quote(str(storage))}"


def add_to(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command()(run)


def names(text: str) -> list[str]:
    """Gives the names in a text with commas between them."""
    return [name for name in text.split(",") if name]


def number_or_auto(text: str, option: str) -> int | Literal["auto"]:
    """Gives the value of an option that is a number from 1 or `auto`.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text == "auto":
        return "auto"
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise typer.BadParameter(f"is a number from 1 or `auto`, not `{text}`", param_hint=option)
