"""Goes on with a run: holds its log, finds out what is left to do, and does that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from mlgym.config import Document, Point, resolve
from mlgym.errors import LogInUseError, RunError
from mlgym.events import Difference, EventLog, RunResumed, RunState, read_log
from mlgym.execution.changes import refuse_other_config
from mlgym.execution.driver import Driver, Places, RunSummary, Watch, counts_of
from mlgym.execution.environment import code_files, package_versions
from mlgym.execution.journal import Journal, Observer
from mlgym.execution.launcher import worker_environment
from mlgym.execution.main_module import main_script_of, refuse_launch_while_importing
from mlgym.execution.options import RunOptions, WorkerCode
from mlgym.execution.output.text_logs import TextLogs
from mlgym.execution.plan import remaining_of
from mlgym.execution.ray_options import RayOptions
from mlgym.execution.run_record import RUN_CONFIG_FILE, RunRecord, read_record, write_record
from mlgym.execution.shared_devices import refuse_unshared
from mlgym.execution.slurm.takeover import UnderWay, end_jobs, take_in
from mlgym.names import TRACKED
from mlgym.reproduction.differences import environment_differences
from mlgym.reproduction.verdict import difference_text
from mlgym.tracking import RunFolder
from mlgym.tracking.delivery import delivering
from mlgym.tracking.places import claim_place
from mlgym.validation.modes import DecidingPlan

_MAX_LISTED: Final = 12


@dataclass(frozen=True)
class HeldRun:
    """A run whose log is held open, so that nobody else goes on with it meanwhile.

    Args:
        folder: where it is.
        log: the open log.
        record: how the run was launched.
        state: what the log says.
        environments: for each experiment the surroundings of its last job.
        under_way: jobs of SLURM that a former driver submitted and that have not ended.
    """

    folder: RunFolder
    log: EventLog
    record: RunRecord
    state: RunState
    environments: dict[int, dict[str, Any]] = field(repr=False)
    under_way: Sequence[UnderWay] = ()

    def options(self, **changes: Any) -> RunOptions:
        """Gives the options to go on with: those that the run was launched with, but for some.

        Args:
            changes: other values by the names of `RunOptions`; None keeps what was recorded. Threads and determinism
                are parts of the run's identity and cannot be changed.
        """
        record, given = self.record, {name: value for name, value in changes.items() if value is not None}
        # A number of processes was chosen for the devices that there were.
        other_slots = {"devices", "slots_per_device", "devices_per_experiment"} & given.keys()
        processes = None if other_slots else record.processes_as_given
        recorded = RunOptions(
            storage=self.folder.storage,
            run_id=self.folder.run_id,
            executor=record.usual_executor,
            processes=processes,
            devices=record.devices,
            slots_per_device=record.slots_per_device,
            devices_per_experiment=record.devices_per_experiment,
            retries=record.retries,
            node_retries=record.node_retries,
            ray=RayOptions(
                address=record.ray_address,
                code=record.ray_code,
                wait_s=record.ray_wait_s,
            ),
            slurm=record.slurm,
            threads=record.threads,
            time_limit_s=record.time_limit_s,
            grace_s=record.grace_s,
            determinism=record.determinism,
            checkpoint_place=record.checkpoint_place,
            local_checkpoints=record.local_checkpoints,
            reproduces=record.reproduces,
        )
        return replace(recorded, **{**given, "ray": recorded.ray.changed(given.get("ray"))})


@contextmanager
def hold_run(folder: RunFolder) -> Iterator[HeldRun]:
    """Keeps others from a run while the body runs, and gives what is known of it.

    Raises:
        RunError: somebody else is at it, or it was never launched.
        EventLogError: its log cannot be opened or read.
    """
    # Before anything is read: what another driver writes meanwhile would be missed.
    try:
        log = EventLog.open(folder.log_path)
    except LogInUseError as error:
        raise RunError(
            f"run `{folder.run_id}` goes on already, in {error.writer}: wait until that has ended, or end it first"
        ) from error
    with log:
        if not (folder.path / RUN_CONFIG_FILE).is_file():
            raise RunError(_no_record_text(folder))
        # What was told while nobody listened belongs to what happened.
        under_way = take_in(folder, log)
        state, environments = _read(folder.log_path)
        yield HeldRun(folder, log, read_record(folder), state, environments, under_way)


def resume_run(
    held: HeldRun,
    document: Document,
    space: Sequence[Point],
    options: RunOptions,
    *,
    command: Sequence[str],
    allowed_changes: Sequence[str] = (),
    retry_failed: bool = False,
    allow_data_change: bool = False,
    observer: Observer | None = None,
    on_event: Watch | None = None,
    code: WorkerCode | None = None,
) -> RunSummary:
    """Runs the experiments of a run that are left, each from where it stands, and gives how all have ended.

    Where nothing is left, nothing is written. Signals act as in `launch`.

    Args:
        held: the run.
        document: the config to go on with.
        space: what it unfolds to.
        options: how to run it; see `HeldRun.options`.
        command: how it was called, to be written down.
        allowed_changes: keys of the config that may differ from what the run was started with, with all below.
        retry_failed: try failed experiments again, too.
        allow_data_change: go on though the data is not what checkpoints were trained with, in a new lineage.
        observer: is shown the state of the run as it changes.
        on_event: is shown every event as it comes, and says True to end the run as SIGINT would.
        code: what workers run; MLgym's own experiments by default.

    Raises:
        ConfigError: the config does not go with several devices per experiment.
        ConfigChangedError: the config differs in what nobody allowed.
        RunError: the run cannot go on.
    """
    refuse_launch_while_importing()
    refuse_unshared(document, options.devices_per_experiment)
    held = _without_strays(held, space, options)
    record, state, folder = held.record, held.state, held.folder
    admitted = list(dict.fromkeys([*record.admitted_changes, *allowed_changes]))
    if record.config is not None:
        refuse_other_config(folder.run_id, record.config, document.identity, admitted)
    if isinstance(space, DecidingPlan):
        space.recall(state)
    remaining = remaining_of(state, space, run_id=folder.run_id, admitted=admitted, retry_failed=retry_failed)
    counts = counts_of(remaining.outcomes, len(space))
    if all(each in remaining.settled for each in range(len(space))) and state.status == "finished":
        return RunSummary(run_id=folder.run_id, path=folder.path, counts=counts, exit_code=int(counts.failed > 0))
    main_script = main_script_of(document.data) if options.executor != "inline" else None
    with Places.opened(options, document, code, main_script) as places:
        text_logs = TextLogs(options.text_logging_path / folder.run_id) if options.text_logging_path else None
        journal = Journal(
            held.log,
            folder.run_id,
            state=state,
            text_logs=text_logs,
            observer=observer,
            eager=options.executor == "inline",
        )
        driver = Driver(document, space, options, folder, journal, places)
        environment = driver.environment(command)
        # Jobs that are taken over stay in their own surroundings.
        unchanged = {one.job.experiment_id for one in held.under_way}
        left = {
            each: surroundings
            for each, surroundings in held.environments.items()
            if each not in remaining.settled and each not in unchanged
        }
        parting = _parting_environments(left, environment)
        parted = (
            remaining.parted
            | parting.keys()
            | (left.keys() if allow_data_change or not options.deterministic else set())
        )
        changed = msgspec.structs.replace(
            record,
            config=document.identity,
            overrides=list(document.overrides),
            admitted_changes=admitted,
            checkpoint_place=options.checkpoint_place,
            local_checkpoints=options.local_checkpoints,
        )
        if options.checkpoint_place is not None:
            claim_place(options.checkpoint_place, folder.run_id, options.hubs.rest_endpoint, is_new=False)
        # The driver that comes after this one has to compare with what the experiments are given now.
        if changed != record:
            write_record(folder, changed)
        with delivering(folder, options.delivery, journal.warn_soon):
            return driver.run(
                driver.opening(RunResumed, command, package_versions()),
                environment,
                replace(
                    remaining,
                    parted=parted,
                    allow_data_change=allow_data_change,
                    under_way={one.job.experiment_id: one for one in held.under_way},
                ),
                notes=[*_warnings(parting, code_files(environment)), *_closed(space, state, retry_failed=retry_failed)],
                on_event=on_event,
            )


def _without_strays(held: HeldRun, space: Sequence[Point], options: RunOptions) -> HeldRun:
    """Ends jobs of SLURM that cannot go on as they are under the options and the config, and reads what they told."""
    strays = [one for one in held.under_way if not _can_go_on(one, space, options)]
    if not strays:
        return held
    end_jobs(held.folder, held.log, strays)
    state, environments = _read(held.folder.log_path)
    kept = [one for one in held.under_way if one not in strays]
    return replace(held, state=state, environments=environments, under_way=kept)


def _can_go_on(one: UnderWay, space: Sequence[Point], options: RunOptions) -> bool:
    # Which experiment of a plan that decides comes next, and how far it goes, is known once its decisions are.
    if options.executor != "slurm" or one.withdrawn or isinstance(space, DecidingPlan):
        return False
    number = one.job.experiment_id
    return number < len(space) and resolve(space[number].config) == one.job.config


def _no_record_text(folder: RunFolder) -> str:
    if folder.state().validation_mode == TRACKED:
        return (
            f"run `{folder.run_id}` was written by a program of its own, which goes on with it by `mlgym.track(..., "
            f'run_id="{folder.run_id}", resume=True)`'
        )
    return f"run `{folder.run_id}` ended before it had written down how it was launched: start it anew with `mlgym run`"


def _read(path: Path) -> tuple[RunState, dict[int, dict[str, Any]]]:
    """Folds a log, and gives for each experiment the environment in which its last job was started."""
    state, environments = RunState(), {}
    for event_id, event in read_log(path):
        num_jobs = state.num_jobs
        state.apply(event_id, event)
        if state.num_jobs > num_jobs:
            environments[event["payload"].get("experiment_id")] = state.environment
    return state, environments


def _parting_environments(environments: dict[int, dict[str, Any]], now: dict[str, Any]) -> dict[int, list[Difference]]:
    """Gives by experiment what may make its continuation differ from what it did before; few environments are new."""
    found: dict[int, list[Difference]] = {}
    compared: dict[int, list[Difference]] = {}
    for experiment_id, environment in environments.items():
        if id(environment) not in compared:
            differences = environment_differences(_of_any_executor(environment), _of_any_executor(now))
            compared[id(environment)] = [each for each in differences if each.changes_bits]
        if compared[id(environment)]:
            found[experiment_id] = compared[id(environment)]
    return found


def _of_any_executor(environment: dict[str, Any]) -> dict[str, Any]:
    """Gives an environment with the variables that workers get, since executors give the same results."""
    variables, threads = environment.get("environment_variables"), environment.get("threads")
    if not isinstance(variables, dict) or not isinstance(threads, int):
        return environment
    others = {key: value for key, value in environment.items() if key != "hash_seed"}
    return {**others, "environment_variables": worker_environment(threads, variables)}


def _warnings(parting: dict[int, list[Difference]], files: Mapping[str, str]) -> list[str]:
    """Gives a line for each set of differences, with the files of the user's modules."""
    who: dict[str, list[int]] = {}
    for experiment_id, differences in parting.items():
        listed = [difference_text(each, files) for each in differences[:_MAX_LISTED]]
        more = [f"{len(differences) - _MAX_LISTED} more"] if len(differences) > _MAX_LISTED else []
        who.setdefault("; ".join([*listed, *more]), []).append(experiment_id)
    return [
        f"other surroundings than before for {_named(ids)}, whose results need not be those of an uninterrupted run: "
        f"{differences}"
        for differences, ids in who.items()
    ]


def _closed(space: Sequence[Point], state: RunState, *, retry_failed: bool) -> list[str]:
    """Gives a line where experiments stay failed because what they competed for is decided."""
    failed = [number for number, experiment in state.experiments.items() if experiment.status == "failed"]
    if not retry_failed or not isinstance(space, DecidingPlan):
        return []
    closed = [number for number in failed if space.is_closed(number)]
    if not closed:
        return []
    return [f"{_named(closed)} stays failed: {space.closed_because}, and a choice stands"]


def _named(ids: list[int]) -> str:
    listed = ", ".join(map(str, ids[:_MAX_LISTED])) + (f" and {len(ids) - _MAX_LISTED} more" * (len(ids) > _MAX_LISTED))
    return f"experiment{'s' if len(ids) > 1 else ''} {listed}"
