"""Launches a run: makes its folder, runs its experiments, writes down what happens."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal, TypeAlias

from mlgym.config import Document, Point, config_id, dump_yaml, resolve
from mlgym.errors import RunError
from mlgym.events import Environment, EventLog, ExperimentConfig, JobStatus, RunFinished, RunStarted
from mlgym.execution.environment import capture_environment, package_versions, usable_cores
from mlgym.execution.executor import Executor, Handler
from mlgym.execution.job import DEFAULT_ENTRY, Job
from mlgym.execution.journal import Journal, Observer
from mlgym.execution.launcher import worker_environment
from mlgym.execution.main_module import main_script_of, refuse_launch_while_importing
from mlgym.execution.processes import ProcessExecutor
from mlgym.execution.scheduler import Counts, Limits, NoSpaceError, Scheduler, device_slots, in_order
from mlgym.execution.server_process import PRELOAD, PRELOAD_IF_INSTALLED, ServerSettings
from mlgym.execution.text_logs import TextLogs
from mlgym.names import DEFAULT_STORAGE
from mlgym.tracking import RunFolder, create_run_folder

ExecutorKind: TypeAlias = Literal["inline", "processes"]
Watch: TypeAlias = Callable[[dict[str, Any]], bool]
"""Takes an event of the run, decoded; says whether the run has to end now."""

CONFIG_FILE: Final = "grid_search_config.yml"
RUN_CONFIG_FILE: Final = "run_config.yml"
ENVIRONMENT_FILE: Final = "environment.json"
EXPERIMENT_CONFIG_FILE: Final = "experiment_config.json"
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is launched; none of it but `threads` and `determinism` changes a number.

    Args:
        storage: the folder of all runs.
        run_id: the run's id; by default the time of day.
        executor: `processes` (a process per experiment) or `inline` (this process, for debugging).
        processes: experiments at the same time, >= 1; None for one per core, or per slot of other devices.
        devices: names such as `cpu` or `cuda:1`.
        slots_per_device: experiments at the same time on one device, >= 1.
        threads: threads of one operation in each experiment, >= 1; `auto` shares out the cores, and digests then
            depend on the number of processes and of cores.
        time_limit_s: longest time of one experiment, in s, > 0; None for none.
        grace_s: from asking an experiment to end to killing it, in s, >= 0.
        text_logging_path: folder for text files with the output of each experiment; None for none.
        determinism: `bitwise` refuses operations without a reproducible algorithm, `fast` allows them.
        reproduces: the run whose results this one is to reproduce, for the record; None for none.
    """

    storage: Path = Path(DEFAULT_STORAGE)
    run_id: str | None = None
    executor: ExecutorKind = "processes"
    processes: int | None = None
    devices: Sequence[str] = ("cpu",)
    slots_per_device: int = 1
    threads: int | Literal["auto"] = 1
    time_limit_s: float | None = None
    grace_s: float = 30.0
    text_logging_path: Path | None = None
    determinism: Literal["bitwise", "fast"] = "bitwise"
    reproduces: str | None = None

    @property
    def deterministic(self) -> bool:
        """Whether every operation must give the same bits each time."""
        return self.determinism == "bitwise"


@dataclass(frozen=True, kw_only=True)
class WorkerCode:
    """What workers import before they start and call when they do.

    Args:
        entry: `module:function` that runs a job.
        preload: modules that must be there.
        preload_if_installed: modules that may be missing.
    """

    entry: str = DEFAULT_ENTRY
    preload: Sequence[str] = PRELOAD
    preload_if_installed: Sequence[str] = PRELOAD_IF_INSTALLED


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How a run ended.

    Args:
        run_id: its id.
        path: its folder.
        counts: how its experiments ended.
        exit_code: 0 all succeeded, 1 some failed, 130 interrupted.
    """

    run_id: str
    path: Path
    counts: Counts
    exit_code: int


def launch(
    document: Document,
    space: Sequence[Point],
    options: RunOptions,
    *,
    command: Sequence[str],
    observer: Observer | None = None,
    on_event: Watch | None = None,
    skip: Container[int] = (),
    code: WorkerCode | None = None,
) -> RunSummary:
    """Runs all experiments of a checked config and gives how they ended.

    SIGINT and SIGTERM end the run at the experiments' next step boundaries, a second one at once; this needs the main
    thread, elsewhere signals do what they did.

    Args:
        document: the config as written.
        space: what it unfolds to, the point of each experiment by its id.
        options: how to run it.
        command: how it was called, to be written down.
        observer: is shown the state of the run as it changes.
        on_event: is shown every event as it comes, and says True to end the run as SIGINT would.
        skip: experiments that need not run.
        code: what workers run; MLgym's own experiments by default.

    Raises:
        RunError: the run cannot start, or cannot go on at all; an experiment that fails raises nothing.
        EventLogError: the event log cannot be opened.
    """
    refuse_launch_while_importing()
    main_script = main_script_of(document.data) if options.executor != "inline" else None
    slots = _slots(options)
    threads = _threads(options, len(slots))
    folder = create_run_folder(options.storage.absolute(), options.run_id)
    text_logs = TextLogs(options.text_logging_path / folder.run_id) if options.text_logging_path else None
    with EventLog.open(folder.log_path) as log:
        journal = Journal(
            log, folder.run_id, text_logs=text_logs, observer=observer, eager=options.executor == "inline"
        )
        places = _Places(slots=slots, threads=threads, code=code or WorkerCode(), main_script=main_script)
        run = _Run(document, space, options, folder, journal, places)
        return run.run(command, skip, on_event)


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Where experiments run: the device of each slot, the threads of each experiment, and the code to load."""

    slots: Sequence[str]
    threads: int
    code: WorkerCode
    main_script: Path | None


class _Run:
    """One launch on its way."""

    def __init__(
        self,
        document: Document,
        space: Sequence[Point],
        options: RunOptions,
        folder: RunFolder,
        journal: Journal,
        places: _Places,
    ) -> None:
        self.document = document
        self.space = space
        self.options = options
        self.folder = folder
        self.journal = journal
        self.slots = places.slots
        self.threads = places.threads
        self.code = places.code
        self.main_script = places.main_script
        self.num_jobs = 0

    def run(self, command: Sequence[str], skip: Container[int], on_event: Watch | None) -> RunSummary:
        """Runs everything, and writes the end of the run whatever happens."""
        self._begin(command)
        num_experiments = len(self.space)
        scheduler = Scheduler(
            in_order(num_experiments, skip),
            self._prepare,
            slots=self.slots,
            record=self.journal,
            limits=Limits(time_limit_s=self.options.time_limit_s, grace_s=self.options.grace_s),
        )
        counts = scheduler.counts
        if on_event is not None:
            self.journal.on_event = _stopping_when_told(on_event, scheduler)
        try:
            with _stop_signals(scheduler.interrupt):
                executor = self._executor(scheduler)
                try:
                    scheduler.run(executor)
                finally:
                    executor.close()
        finally:
            num_skipped = sum(each in skip for each in range(num_experiments))
            counts.not_started = num_experiments - num_skipped - counts.succeeded - counts.failed - counts.interrupted
            unwritten = self._finish(counts)
        if unwritten:
            raise RunError(f"run `{self.folder.run_id}`: {unwritten}")
        exit_code = 130 if scheduler.interrupted else int(counts.failed > 0)
        return RunSummary(run_id=self.folder.run_id, path=self.folder.path, counts=counts, exit_code=exit_code)

    def _begin(self, command: Sequence[str]) -> None:
        document, folder = self.document, self.folder
        versions = package_versions()
        environment = capture_environment(
            threads=self.threads,
            deterministic=self.options.deterministic,
            folder=document.folder,
            variables=self._variables(),
        )
        folder.write_text(CONFIG_FILE, document.text)
        folder.write_text(RUN_CONFIG_FILE, dump_yaml(self._run_config(command, versions)))
        folder.write_json(ENVIRONMENT_FILE, environment)
        self.journal.emit(
            RunStarted(
                grid_search_id=folder.run_id,
                name=document.name,
                command=list(command),
                versions=versions,
                num_experiments=len(self.space),
                validation_mode=str(document.validation["mode"]),
            )
        )
        self.journal.emit(Environment(grid_search_id=folder.run_id, environment=environment))

    def _variables(self) -> Mapping[str, str]:
        return os.environ if self.options.executor == "inline" else worker_environment(self.threads)

    def _run_config(self, command: Sequence[str], versions: Mapping[str, str]) -> dict[str, Any]:
        options = self.options
        return {
            "command": list(command),
            "overrides": list(self.document.overrides),
            "folder": str(self.document.folder.absolute()),
            "executor": options.executor,
            "devices": list(options.devices),
            "slots_per_device": options.slots_per_device,
            "processes": len(self.slots),
            "threads": self.threads,
            "threads_as_given": options.threads,
            "determinism": options.determinism,
            **({"reproduces": options.reproduces} if options.reproduces else {}),
            "time_limit_s": options.time_limit_s,
            "grace_s": options.grace_s,
            "versions": dict(versions),
        }

    def _executor(self, handler: Handler) -> Executor:
        if self.options.executor == "inline":
            from mlgym.execution.inline import InlineExecutor

            return InlineExecutor(handler)
        settings = ServerSettings(
            imports=list(self.document.imports),
            folder=self.document.folder,
            main_script=self.main_script,
            threads=self.threads,
            preload=self.code.preload,
            preload_if_installed=self.code.preload_if_installed,
            example=self._example(),
        )
        return ProcessExecutor(handler, capacity=len(self.slots), settings=settings)

    def _example(self) -> dict[str, Any] | None:
        """Gives the config of the first experiment, for the fork server; only MLgym's own are warmed up."""
        if self.code.entry != DEFAULT_ENTRY or not len(self.space):
            return None
        return resolve(self.space[0].config)

    def _prepare(self, experiment_id: int, device: str) -> Job:
        """Makes an experiment's folder, config and first events just before it starts, not 100,000 ahead."""
        point: Point = self.space[experiment_id]
        config = resolve(point.config)
        name = f"{experiment_id}/{EXPERIMENT_CONFIG_FILE}"
        try:
            self.folder.write_json(name, {"config_id": config_id(config), **config})
        except RunError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_SPACE:
                raise NoSpaceError(str(error)) from error
            raise
        job = Job(
            run_id=self.folder.run_id,
            experiment_id=experiment_id,
            job_id=f"{self.folder.run_id}-{self.num_jobs}",
            run_dir=str(self.folder.path),
            config=config,
            imports=list(self.document.imports),
            folder=str(self.document.folder),
            main_script=str(self.main_script) if self.main_script else None,
            seed=config["seed"],
            device=device,
            threads=self.threads,
            deterministic=self.options.deterministic,
            time_limit_s=self.options.time_limit_s,
            entry=self.code.entry,
        )
        self.num_jobs += 1
        who: dict[str, Any] = {"grid_search_id": job.run_id, "experiment_id": experiment_id, "job_id": job.job_id}
        self.journal.emit(ExperimentConfig(**who, config=config, swept=point.swept))
        self.journal.emit(JobStatus(**who, status="INIT", device=device))
        return job

    def _finish(self, counts: Counts) -> str | None:
        numbers = {f"num_{name}": number for name, number in asdict(counts).items()}
        self.journal.emit(RunFinished(grid_search_id=self.folder.run_id, **numbers))
        return self.journal.close(self.options.grace_s)


def _stopping_when_told(watch: Watch, scheduler: Scheduler) -> Callable[[dict[str, Any]], None]:
    def look(event: dict[str, Any]) -> None:
        # Asked once: a second interrupt would kill.
        if watch(event) and not scheduler.interrupted:
            scheduler.interrupt()

    return look


def _slots(options: RunOptions) -> list[str]:
    if options.executor == "inline":
        return list(options.devices[:1])
    on_cpu = all(device == "cpu" for device in options.devices)
    processes = usable_cores() if options.processes is None and on_cpu else options.processes
    return device_slots(options.devices, options.slots_per_device, processes)


def _threads(options: RunOptions, num_slots: int) -> int:
    if options.threads == "auto":
        return max(1, usable_cores() // num_slots)
    if options.threads < 1:
        raise RunError(f"`threads` must be at least 1 or `auto`, but is {options.threads}")
    return options.threads


@contextmanager
def _stop_signals(interrupt: Callable[[], None]) -> Iterator[None]:
    """Has SIGINT, SIGTERM and SIGHUP call `interrupt`; puts the former handlers back afterwards.

    Installed even where SIGINT was ignored on entry, as a shell does for what it starts in the background: asking a run
    to stop must work there too. An ignored SIGHUP, as under `nohup`, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        interrupt()

    wanted = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        wanted.append(signal.SIGHUP)
    before = {signum: signal.signal(signum, handle) for signum in wanted}
    try:
        yield
    finally:
        for signum, handler in before.items():
            # None: installed by C code; Python cannot put it back.
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
