"""One driver on one run, new or not: runs the experiments that are left, and writes down what happens."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from mlgym.config import Document, Point, config_id, resolve
from mlgym.errors import RunError
from mlgym.events import Environment, ExperimentConfig, JobStatus, RunFinished, RunStarted
from mlgym.execution.course.course import Course, Desk, OwnCourse
from mlgym.execution.course.nested_run import NestedRun
from mlgym.execution.course.search_run import SearchRun
from mlgym.execution.devices import Slot, backend_of, kind_and_number, kind_of
from mlgym.execution.environment import capture_environment, code_hashes, recorded_command
from mlgym.execution.executor import Executor, Handler
from mlgym.execution.job import DEFAULT_ENTRY, Job
from mlgym.execution.journal import Journal
from mlgym.execution.launcher import worker_environment
from mlgym.execution.main_module import late_imports
from mlgym.execution.options import RunOptions, WorkerCode
from mlgym.execution.processes.executor import ProcessExecutor
from mlgym.execution.processes.server_process import ServerSettings
from mlgym.execution.retries import RetryLimits
from mlgym.execution.run_record import EXPERIMENT_CONFIG_FILE
from mlgym.execution.scheduler import Counts, Limits, NoSpaceError, Outcome, Scheduler, in_order
from mlgym.execution.slots import Admission
from mlgym.execution.slurm import JobFolder, SlurmExecutor, SlurmSettings, TaskSetup, UnderWay
from mlgym.execution.stop_signals import stop_signals
from mlgym.tracking import RunFolder
from mlgym.tracking.places import resolved_place
from mlgym.validation.modes import DecidingPlan, NestedPlan, SearchPlan

if TYPE_CHECKING:
    from mlgym.execution.ray.launching import RayPlaces

Watch: TypeAlias = Callable[[dict[str, Any]], bool]
"""Takes an event of the run, decoded; says whether the run has to end now."""

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How a run stands when its driver ends.

    Args:
        run_id: its id.
        path: its folder.
        counts: how its experiments ended, those of earlier drivers included.
        exit_code: 0 all succeeded, 1 some failed, 130 interrupted.
    """

    run_id: str
    path: Path
    counts: Counts
    exit_code: int


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where experiments run: the devices of each slot, the threads of each process, and the code to load."""

    slots: Sequence[Slot]
    threads: int
    code: WorkerCode
    main_script: Path | None

    ray: RayPlaces | None = None
    slurm: SlurmSettings | None = None
    admission: Admission | None = None

    @classmethod
    @contextmanager
    def opened(
        cls, options: RunOptions, document: Document, code: WorkerCode | None, main_script: Path | None
    ) -> Iterator[Places]:
        """Gives the places that options ask for, and the connection to a cluster while the body runs.

        Raises:
            RunError: a number among the options is out of range, or the cluster cannot be used.
        """
        ray = None
        if options.executor == "ray":
            from mlgym.execution.ray.launching import ray_places

            ray = ray_places(options, document, main_script)
        try:
            slots = options.slots() if ray is None else ray.slots
            threads = options.num_threads(len(slots))
            slurm = None
            if options.executor == "slurm":
                slurm = SlurmSettings.of(
                    options.slurm,
                    num_slots=len(slots),
                    device=slots[0][0],
                    name=document.name,
                    num_cpus=threads * len(slots[0]),
                )
            yield cls(
                slots=slots,
                threads=threads,
                code=code or WorkerCode(),
                main_script=main_script,
                ray=ray,
                slurm=slurm,
                admission=_admission(options),
            )
        finally:
            if ray is not None:
                ray.close()


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """What is left to do of a run.

    Args:
        settled: experiments that need not run.
        outcomes: how those ended that ran before, those included that may go on still.
        parted: experiments whose continuation need not repeat what they did before, to the bit.
        allow_data_change: they go on though their data is not what it was; then all of them part.
        under_way: jobs that outlived the driver before this one, by experiment; they go on as they are.
    """

    settled: Container[int] = ()
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    parted: Set[int] = frozenset()
    allow_data_change: bool = False
    under_way: Mapping[int, UnderWay] = field(default_factory=dict)


class Driver:
    """A driver at work; the journal's log keeps others from the run."""

    def __init__(
        self,
        document: Document,
        space: Sequence[Point],
        options: RunOptions,
        folder: RunFolder,
        journal: Journal,
        places: Places,
    ) -> None:
        """Makes a driver; `run` starts it.

        Args:
            document: the config.
            space: what it unfolds to, the point of each experiment by its id.
            options: how to run it.
            folder: the run.
            journal: takes what happens; its state says what happened before.
            places: where experiments run.
        """
        self.document = document
        self.space = space
        self.options = options
        self.folder = folder
        self.journal = journal
        self.slots = places.slots
        self.threads = places.threads
        self.code = places.code
        self.main_script = places.main_script
        self._ray = places.ray
        self._slurm = places.slurm
        self._under_way: dict[int, UnderWay] = {}
        self._forget_jobs: Callable[[], None] = lambda: None
        self._admission = places.admission
        self._num_jobs = journal.state.num_jobs
        self._parted: set[int] = set()
        self._allow_data_change = False
        self._recorded_code: dict[str, str] = {}

    def environment(self, command: Sequence[str]) -> dict[str, Any]:
        """Gives the surroundings of the experiments as plain data.

        Args:
            command: how the driver was called.
        """
        return capture_environment(
            threads=self.threads,
            deterministic=self.options.deterministic,
            folder=self.document.folder,
            variables=self._variables(),
            command=command,
            imports=self.document.imports,
            main_script=self.main_script,
            world_size=self.options.devices_per_experiment,
            backend=backend_of(self.options.devices, self.options.devices_per_experiment),
        )

    def opening(self, event: type[RunStarted], command: Sequence[str], versions: Mapping[str, str]) -> RunStarted:
        """Gives the first event of this driver.

        Args:
            event: `RunStarted`, or `RunResumed` where the run is not new.
            command: how the driver was called.
            versions: of python and packages, by name.
        """
        return event(
            grid_search_id=self.folder.run_id,
            name=self.document.name,
            command=recorded_command(command),
            versions=dict(versions),
            num_experiments=len(self.space),
            validation_mode=str(self.document.validation["mode"]),
            validation=dict(getattr(self.space, "facts", self.document.validation)),
            reproduces=self.options.reproduces,
        )

    def run(
        self,
        opening: RunStarted,
        environment: dict[str, Any],
        remaining: Remaining,
        *,
        notes: Sequence[str] = (),
        on_event: Watch | None = None,
    ) -> RunSummary:
        """Runs what is left, and writes the end of the run whatever happens.

        Args:
            opening: the first event.
            environment: the surroundings of the experiments.
            remaining: what is left to do.
            notes: warnings for the log.
            on_event: is shown the events that follow; see `launch`.

        Raises:
            RunError: it cannot go on at all, or events could not be written.
        """
        self.journal.emit(opening)
        self.journal.emit(Environment(grid_search_id=self.folder.run_id, environment=environment))
        for note in notes:
            self.journal.note("warning", note)
        self._parted = set(remaining.parted)
        self._allow_data_change = remaining.allow_data_change
        # What runs in this process is what it has imported.
        self._recorded_code = {} if self.options.executor == "inline" else code_hashes(environment)
        self._under_way = dict(remaining.under_way)
        outcomes = dict(remaining.outcomes)
        course = self._course = self._course_of(remaining.settled, lambda: scheduler.interrupt(quietly=True))

        def ended(experiment_id: int, outcome: Outcome) -> None:
            outcomes[experiment_id] = outcome
            course.ended(experiment_id, outcome)

        scheduler = Scheduler(
            course.next_experiment,
            self._prepare,
            slots=self.slots,
            record=self.journal,
            limits=Limits(time_limit_s=self.options.time_limit_s, grace_s=self.options.grace_s),
            retries=RetryLimits(
                failures=self.options.retries,
                losses=self.options.node_retries,
                can_be_alone=self.options.executor in ("inline", "processes"),
            ),
            admission=self._admission,
            ended=ended,
        )
        if on_event is not None:
            self.journal.on_event = _stopping_when_told(on_event, scheduler)
        is_needless = [each in remaining.settled for each in range(len(self.space))]
        counts = Counts()
        try:
            if not all(is_needless):
                with stop_signals(scheduler.interrupt):
                    executor = self._executor(scheduler, remaining.settled)
                    try:
                        scheduler.run(executor)
                    finally:
                        executor.close()
        finally:
            outcomes |= dict.fromkeys(course.unfit, "failed")
            num_skipped = sum(each and number not in outcomes for number, each in enumerate(is_needless))
            counts = counts_of(outcomes, len(self.space) - num_skipped)
            unwritten = self._finish(counts)
        if unwritten:
            raise RunError(f"run `{self.folder.run_id}`: {unwritten}")
        if course.error is not None:
            raise course.error
        exit_code = 130 if scheduler.interrupted else int(counts.failed > 0)
        return RunSummary(run_id=self.folder.run_id, path=self.folder.path, counts=counts, exit_code=exit_code)

    def _course_of(self, settled: Container[int], give_up: Callable[[], None]) -> Course:
        """Gives what decides which experiment comes next."""
        desk = Desk(run_id=self.folder.run_id, journal=self.journal, next_job_id=self._next_job_id, give_up=give_up)
        match self.space:
            case NestedPlan():
                return NestedRun(self.space, settled, desk)
            case SearchPlan():
                return SearchRun(self.space, desk)
            case OwnCourse():
                return self.space.course(settled, desk)
        return Course(len(self.space), settled)

    def _next_job_id(self) -> str:
        job_id = f"{self.folder.run_id}-{self._num_jobs}"
        self._num_jobs += 1
        return job_id

    def _variables(self) -> Mapping[str, str]:
        return os.environ if self.options.executor == "inline" else worker_environment(self.threads)

    def _executor(self, handler: Handler, skip: Container[int]) -> Executor:
        if self.options.executor == "inline":
            from mlgym.execution.inline import InlineExecutor

            return InlineExecutor(handler)
        example = self._example(skip)
        used_late = late_imports([self.document.data, example])
        settings = ServerSettings(
            imports=list(self.document.imports),
            folder=self.document.folder,
            main_script=self.main_script,
            threads=self.threads,
            preload=self.code.preload,
            preload_if_installed=[*self.code.preload_if_installed, *used_late],
            example=example,
        )
        if self._ray is not None:
            return self._ray.executor(handler, settings)
        if self._slurm is not None:
            executor = SlurmExecutor(
                handler,
                JobFolder(self.folder.path),
                self._slurm,
                TaskSetup.of(settings),
                capacity=len(self.slots),
                adopted=self._under_way.values(),
                is_written=lambda: self.journal.is_written,
            )
            self._forget_jobs = executor.remove_folder
            return executor
        return ProcessExecutor(handler, capacity=len(self.slots), settings=settings)

    def _example(self, skip: Container[int]) -> dict[str, Any] | None:
        """Gives the config of the first experiment to run, for the fork server; only MLgym's own are warmed up."""
        first = in_order(len(self.space), skip)()
        if self.code.entry != DEFAULT_ENTRY or first is None:
            return None
        # What is left may not be decided yet.
        return resolve((self.space.example() if isinstance(self.space, DecidingPlan) else self.space[first]).config)

    def _prepare(self, experiment_id: int, devices: Slot) -> Job:
        """Makes an experiment's folder, config and first events just before it starts, not 100,000 ahead."""
        if experiment_id in self._under_way:
            return self._go_on_with(self._under_way.pop(experiment_id))
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
            job_id=self._next_job_id(),
            run_dir=str(self.folder.path),
            config=config,
            imports=list(self.document.imports),
            folder=str(self.document.folder),
            main_script=str(self.main_script) if self.main_script else None,
            seed=config["seed"],
            device=devices[0],
            devices=list(devices) if len(devices) > 1 else [],
            threads=self.threads,
            deterministic=self.options.deterministic,
            checkpoint_place=resolved_place(self.options.checkpoint_place, self.options.hubs.rest_endpoint),
            local_checkpoints=self.options.local_checkpoints,
            fold=_fold_of(point.trial),
            until_epoch=self._course.until_epoch(experiment_id),
            time_limit_s=self.options.time_limit_s,
            entry=self.code.entry,
            code=self._recorded_code,
            **self._continuation(experiment_id, devices),
        )
        who: dict[str, Any] = {"grid_search_id": job.run_id, "experiment_id": experiment_id, "job_id": job.job_id}
        self.journal.emit(
            ExperimentConfig(**who, config=config, swept=point.swept, lineage=job.lineage, trial=point.trial)
        )
        self.journal.emit(
            JobStatus(
                **who,
                status="INIT",
                device=job.device_label,
                attempt=job.attempt,
                until_epoch=job.until_epoch,
            )
        )
        return job

    def _go_on_with(self, under_way: UnderWay) -> Job:
        """Takes over a job as it is; the log, in which all ended with their driver, says that it has not."""
        job = under_way.job
        who: dict[str, Any] = {"grid_search_id": job.run_id, "experiment_id": job.experiment_id, "job_id": job.job_id}
        status: Literal["INIT", "RUNNING"] = "INIT" if under_way.begin is None else "RUNNING"
        self.journal.emit(
            JobStatus(
                **who,
                status=status,
                device=job.device_label,
                attempt=under_way.attempt,
                until_epoch=job.until_epoch,
            )
        )
        return job

    def _continuation(self, experiment_id: int, devices: Slot) -> dict[str, Any]:
        """Gives what a job has to know of earlier attempts."""
        before = self.journal.state.experiments.get(experiment_id)
        if before is None:
            # The log may have lost the latest events of a driver that was killed; checkpoints speak for themselves.
            return {"attempt": int(self.folder.checkpoints_dir(experiment_id).is_dir())}
        # Sums over another number of ranks are rounded otherwise.
        now = kind_of(devices[0]), len(devices)
        moved = before.device is not None and kind_and_number(before.device) != now
        parts = moved or experiment_id in self._parted
        self._parted.discard(experiment_id)  # once: what a search goes on with again, it goes on with as it is now
        return {
            "attempt": before.attempt + 1,
            "lineage": before.lineage + int(parts),
            "allow_data_change": self._allow_data_change,
            "known_data": {
                split: {"sha256": sha256, "num_samples": before.sizes[split]}
                for split, sha256 in before.fingerprints.items()
            },
            "known_checkpoints": list(before.checkpoints),
        }

    def _finish(self, counts: Counts) -> str | None:
        numbers = {f"num_{name}": number for name, number in asdict(counts).items()}
        self.journal.emit(RunFinished(grid_search_id=self.folder.run_id, **numbers))
        unwritten = self.journal.close(self.options.grace_s)
        if unwritten is None:
            self._forget_jobs()
        return unwritten


def counts_of(outcomes: Mapping[int, Outcome], num_experiments: int) -> Counts:
    """Gives how many experiments ended how, and how many have not begun.

    Args:
        outcomes: by experiment.
        num_experiments: how many were to run, those that ran before included.
    """
    counted = Counter(outcomes.values())
    return Counts(
        succeeded=counted["succeeded"],
        failed=counted["failed"],
        interrupted=counted["interrupted"],
        not_started=num_experiments - len(outcomes),
    )


def _admission(options: RunOptions) -> Admission | None:
    """Gives what looks at the memory of devices; None where their number of slots is given."""
    if options.slots_per_device != "auto" or options.executor != "processes":
        return None
    from mlgym.execution.memory_admission import MemoryAdmission
    from mlgym.execution.nvml import open_nvml

    return MemoryAdmission(open_nvml(options.devices))


def _fold_of(trial: Mapping[str, Any]) -> int | None:
    fold = trial.get("outer_fold") if trial.get("role") == "outer" else trial.get("fold")
    return fold if isinstance(fold, int) else None


def _stopping_when_told(watch: Watch, scheduler: Scheduler) -> Callable[[dict[str, Any]], None]:
    def look(event: dict[str, Any]) -> None:
        # Asked once: a second interrupt would kill.
        if watch(event) and not scheduler.interrupted:
            scheduler.interrupt(quietly=True)

    return look
