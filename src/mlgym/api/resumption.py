"""Going on with a run from Python; the command line calls the same function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from mlgym.api.arguments import command_text, override_texts
from mlgym.api.checkpoint_places import recorded_place
from mlgym.api.given_options import check_given
from mlgym.api.launch_check import check_cluster_options, check_launch, local_devices
from mlgym.api.results import Run
from mlgym.api.together import by_rank_0, executor_and_size
from mlgym.config import Document, check, load
from mlgym.display.progress import open_display
from mlgym.display.reproduction import tell
from mlgym.display.tables import counts_text
from mlgym.errors import MlgymError, RunError
from mlgym.events import RunState, has_writer
from mlgym.execution import HeldRun, RunOptions, hold_run, read_record, resume_run
from mlgym.execution.ray_options import RayOptions
from mlgym.names import DEFAULT_STORAGE, safe_name
from mlgym.tracking import LATEST, RunFolder, find_run, list_runs
from mlgym.tracking.delivery import Hubs
from mlgym.tracking.going_on import keep_one_history
from mlgym.tracking.hub_client import HubClient
from mlgym.tracking.places import HUB, check_place
from mlgym.tracking.pull import pull

EPOCHS: Final = "experiment.epochs"


@by_rank_0
def resume(
    run_id: str,
    *,
    overrides: Sequence[str] = (),
    config: str | Path | Mapping[str, Any] | None = None,
    epochs: int | None = None,
    retry_failed: bool = False,
    allow_config_change: Sequence[str] = (),
    allow_data_change: bool = False,
    storage: str | Path = DEFAULT_STORAGE,
    executor: Literal["processes", "inline", "ray", "slurm"] | None = None,
    processes: int | None = None,
    devices: Sequence[str] | None = None,
    slots_per_device: int | Literal["auto"] | None = None,
    devices_per_experiment: int | None = None,
    retries: int | None = None,
    node_retries: int | None = None,
    ray: RayOptions | Mapping[str, Any] | None = None,
    slurm: Mapping[str, str | Sequence[str]] | None = None,
    time_limit_s: float | None = None,
    text_logging_path: str | Path | None = None,
    websocket_logging_servers: Sequence[str] = (),
    rest_endpoint: str | None = None,
    checkpoint_place: str | None = None,
    local_checkpoints: bool | None = None,
    command: Sequence[str] = (),
    progress: bool = True,
    **changes: Any,
) -> Run:
    """Goes on with a run where each of its experiments stands, and gives it when all have ended.

    Experiments that are done stay so unless they have more epochs now. Where nothing is left to do, nothing happens.
    Threads and determinism are parts of the run's identity and stay as they were.

    Args:
        run_id: its id, the beginning of one, or `latest`.
        overrides: changes of the config as the command line takes them, `"optimizer.lr=0.01"`.
        config: the config as it is now, compared with the recorded one; None for the recorded one itself.
        epochs: instead of the config's; finished experiments go on where it is more than they had.
        retry_failed: try failed experiments again, from their last checkpoint.
        allow_config_change: keys of the config that may differ from what the run was started with, with all below.
        allow_data_change: go on though the data is not what experiments were trained with so far, and say so.
        storage: the folder with one folder per run.
        executor: `processes`, `inline`, `ray` or `slurm`; None for what the run was launched with, as in all that
            follows.
        processes: experiments at a time.
        devices: such as `cpu` or `cuda:0`, `cuda:1`.
        slots_per_device: experiments at a time on one GPU; `auto` for as many as its memory has room for.
        devices_per_experiment: devices that each experiment is trained on together.
        retries: how often an experiment that fails is tried again at once, from its newest checkpoint.
        node_retries: how often an experiment goes on elsewhere when what it ran on is lost, such as a node.
        ray: the cluster of the executor `ray`: `address`, `insecure`, `code` and `wait_s` of `RayOptions`, by name;
            None for the one of the launch; `insecure` has to be said again.
        slurm: options of the jobs of the executor `slurm`, by key.
        time_limit_s: an experiment that takes longer fails.
        text_logging_path: folder for the output of each experiment as text; None for none.
        websocket_logging_servers: addresses of hubs that get the events as they happen; none by default, also where the
            run was launched with some.
        rest_endpoint: address of a hub: the run comes from there where the storage folder does not have it, and goes
            there while it goes on; None for none, also where the run was launched with one.
        checkpoint_place: where checkpoints stand beside the run folder, as in `mlgym.run`; None for what the run was
            launched with. `hub` needs `rest_endpoint` again.
        local_checkpoints: whether checkpoints that stand there stay in the run folder, too.
        command: how it was called, for the record; empty for this process's own command line.
        progress: show progress on stderr.
        changes: changes by key, `**{"optimizer.lr": 0.01}`; the same as `overrides`.

    Returns:
        The run; `exit_code` and `num_failed` say how it went.

    Raises:
        ConfigError: the config is wrong.
        ConfigChangedError: it differs from what the run was started with, in what nobody allowed.
        RunError: there is no such run, somebody else is at it, or it cannot go on.
    """
    executor, devices_per_experiment = executor_and_size(executor, processes, devices_per_experiment)
    raised = [] if epochs is None else [f"{EPOCHS}={epochs}"]
    texts = [*overrides, *override_texts(changes), *raised]
    return go_on(
        _found(Path(storage), run_id, rest_endpoint),
        lambda held: _document(held, config, texts),
        {
            "executor": executor,
            "processes": processes,
            "devices": None if devices is None else tuple(devices),
            "slots_per_device": slots_per_device,
            "devices_per_experiment": devices_per_experiment,
            "retries": retries,
            "node_retries": node_retries,
            "ray": ray,
            "slurm": slurm,
            "time_limit_s": time_limit_s,
            "text_logging_path": None if text_logging_path is None else Path(text_logging_path),
            "hubs": Hubs(websocket_logging_servers=tuple(websocket_logging_servers), rest_endpoint=rest_endpoint),
            "checkpoint_place": checkpoint_place,
            "local_checkpoints": local_checkpoints,
        },
        allowed_changes=[*allow_config_change, *([EPOCHS] if raised else [])],
        retry_failed=retry_failed,
        allow_data_change=allow_data_change,
        command=command,
        progress=progress,
    )


def go_on(
    folder: RunFolder,
    document_of: Callable[[HeldRun], Document],
    given: Mapping[str, Any],
    *,
    allowed_changes: Sequence[str] = (),
    retry_failed: bool = False,
    allow_data_change: bool = False,
    command: Sequence[str] = (),
    progress: bool = True,
) -> Run:
    """Goes on with a run under a config that is found once the run is held; see `resume`.

    Args:
        folder: the run.
        document_of: gives the config.
        given: options other than those of the launch, by the names of `RunOptions`; None for those of the launch.
        allowed_changes: keys of the config that may differ.
        retry_failed: try failed experiments again.
        allow_data_change: go on though the data changed.
        command: how it was called, for the record.
        progress: show progress on stderr.
    """
    keep_one_history(
        folder, given["hubs"], tell if progress else _untold, with_checkpoints=recorded_place(folder) != HUB
    )
    with hold_run(RunFolder(folder.storage.absolute(), folder.run_id)) as held:
        if held.record.reproduces is not None:
            raise RunError(_repetition_text(held))
        document = document_of(held)
        space = check(document)
        options = held.options(**given)
        check_cluster_options(options.executor, given.get("ray"), given.get("slurm"))
        check_given(given, options)
        check_launch(
            devices=local_devices(options.executor, options.devices),
            threads=options.threads,
            text_logging_path=options.text_logging_path,
            hubs=options.hubs,
        )
        if options.checkpoint_place is not None:
            check_place(
                options.checkpoint_place,
                storage=options.storage,
                rest_endpoint=options.hubs.rest_endpoint,
                is_one_process=options.executor == "inline",
            )
        if progress and options.checkpoint_place is not None:
            # It is said, since the record may have come from anywhere.
            tell(f"checkpoints stand at {options.checkpoint_place}, too")
        display = open_display(held.state) if progress else None
        num_events = held.log.num_events
        try:
            resume_run(
                held,
                document,
                space,
                options,
                command=command_text(command),
                allowed_changes=allowed_changes,
                retry_failed=retry_failed,
                allow_data_change=allow_data_change,
                observer=display,
            )
        finally:
            if display is not None:
                display.close()
        if progress and held.log.num_events == num_events:
            tell(_nothing_left(held.state))
    return Run(folder)


def _untold(text: str) -> None:
    """Takes what nobody is to be told."""


def _repetition_text(held: HeldRun) -> str:
    """Gives why a repetition does not go on: what it was to run again, and how far, is nowhere but in the call."""
    original, tasks = held.record.reproduces, ", ".join(one.queue_id for one in held.under_way)
    still = f"; end its SLURM jobs with `scancel {tasks}`" if tasks else ""
    return (
        f"run `{held.folder.run_id}` repeats experiments of run `{original}` and is compared while it goes on: "
        f"begin it anew with `mlgym reproduce {original}`{still}"
    )


def _nothing_left(state: RunState) -> str:
    """Gives why there was nothing to do, so that who wanted more knows what stands against it."""
    num_stopped = sum(one.status == "done" and one.stop_reason is not None for one in state.experiments.values())
    stopped = f", {num_stopped} of them by early stopping, which more epochs do not undo" if num_stopped else ""
    return f"nothing is left to do: {counts_text(state)}{stopped}"


def _found(storage: Path, run_id: str, rest_endpoint: str | None) -> RunFolder:
    """Gives the run, brought from the hub where it is not here under its whole id."""
    if rest_endpoint is not None and not RunFolder(storage, safe_name(run_id, "run id")).log_path.is_file():
        with HubClient(rest_endpoint) as client:
            if run_id != LATEST and client.head(run_id) is not None:
                return pull(run_id, storage, client)
    return find_run(storage, run_id)


def unfinished_run(document: Document, options: RunOptions) -> RunFolder | None:
    """Gives the newest run of a config that has not ended, or the one of the wanted id; None where there is none.

    Args:
        document: the config.
        options: how a new run would be launched; threads and determinism are parts of a run's identity.

    Raises:
        RunError: somebody is at that run.
    """
    if options.run_id is not None:
        named = RunFolder(options.storage, safe_name(options.run_id, "run id"))
        return find_run(options.storage, options.run_id) if named.log_path.is_file() else None
    for folder in list_runs(options.storage):
        if not _is_same(folder, document, options):
            continue
        if has_writer(folder.log_path):
            raise RunError(
                f"run `{folder.run_id}` of the same config goes on already: wait until it has ended, or start another "
                "one without auto-resume"
            )
        if folder.state().status != "finished":
            return folder
    return None


def _is_same(folder: RunFolder, document: Document, options: RunOptions) -> bool:
    try:
        record = read_record(folder)
    except MlgymError:
        return False
    if record.reproduces is not None:  # one that was stopped where it diverged is no unfinished run
        return False
    return (record.config, record.threads_as_given, record.determinism) == (
        document.identity,
        options.threads,
        options.determinism,
    )


def _document(held: HeldRun, config: str | Path | Mapping[str, Any] | None, overrides: Sequence[str]) -> Document:
    """Gives the config to go on with: the recorded one, or the given one with the changes that were recorded."""
    record = held.record
    if config is not None:
        document = load(config, [*record.overrides, *overrides])
        # The name of a file may be another one; that makes no other config.
        name = record.config.get("name") if record.config else None
        return replace(document, default_name=name) if isinstance(name, str) else document
    if record.config is None:
        raise RunError(
            f"run `{held.folder.run_id}` was started by a version of MLgym that did not record its config: "
            "give it with `--config FILE`"
        )
    document = load(record.config, overrides, label=f"run {held.folder.run_id}")
    folder = record.code_folder(held.folder) or Path.cwd()
    return replace(document, folder=folder, overrides=(*record.overrides, *overrides))
