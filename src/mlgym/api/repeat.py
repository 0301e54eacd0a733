"""Running experiments of a run again, into a new run, and comparing as the events come."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mlgym.api.launch_check import check_cluster_options
from mlgym.api.recorded import Original, Repetition
from mlgym.display.progress import open_display
from mlgym.events import Difference
from mlgym.execution.devices import backend_of, kind_of
from mlgym.execution.driver import RunSummary
from mlgym.execution.environment import capture_environment
from mlgym.execution.launch import launch
from mlgym.execution.launcher import worker_environment
from mlgym.execution.options import Determinism, ExecutorKind, RunOptions
from mlgym.execution.ray_options import RayOptions
from mlgym.execution.run_record import RunRecord
from mlgym.reproduction.comparison import RunningComparison
from mlgym.reproduction.differences import environment_differences
from mlgym.reproduction.results import experiment_of
from mlgym.reproduction.verdict import place_text

Tell: TypeAlias = Callable[[str], None]
"""Takes a line for the person who waits."""

INTERRUPTED = "the reproduction was interrupted"
"""The error of an experiment that somebody stopped."""


@dataclass(frozen=True, kw_only=True)
class Launching:
    """How a repetition is launched.

    Args:
        storage: the folder that the new run goes into.
        executor: what runs the experiments.
        processes: experiments at a time; None for one per core or slot.
        devices: where they run.
        slots_per_device: experiments at a time on one device.
        devices_per_experiment: devices that each experiment is trained on together.
        node_retries: how often an experiment goes on elsewhere when what it ran on is lost.
        ray: the cluster of the executor `ray`.
        slurm: options of the executor `slurm`.
        threads: threads of one operation.
        determinism: `bitwise` or `fast`.
        command: how it was called, for the record.
        progress: whether progress is shown.
        tell: takes lines about what comes out, as soon as it is known.
    """

    storage: Path
    executor: ExecutorKind
    processes: int | None
    devices: Sequence[str]
    slots_per_device: int | Literal["auto"]
    devices_per_experiment: int
    node_retries: int = 3
    ray: RayOptions = field(default_factory=RayOptions)
    slurm: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    threads: int
    determinism: Determinism
    command: Sequence[str]
    progress: bool
    tell: Tell

    @classmethod
    def of(
        cls,
        record: RunRecord,
        *,
        executor: ExecutorKind | None,
        devices: Sequence[str] | None,
        slots_per_device: int | Literal["auto"] | None,
        devices_per_experiment: int | None,
        node_retries: int | None,
        ray: RayOptions | Mapping[str, Any] | None,
        slurm: Mapping[str, str | Sequence[str]] | None,
        **others: Any,
    ) -> Launching:
        """Gives how a run is launched again: as it was, but for what is said.

        Args:
            record: how it was launched.
            executor: None for what was recorded, as in all that follows, as far as it makes sense for the executor.
            devices: see the class.
            slots_per_device: see the class.
            devices_per_experiment: see the class.
            node_retries: see the class.
            ray: see the class; what it leaves out is as recorded.
            slurm: see the class.
            others: what no record says.

        Raises:
            RunError: options of another executor are given.
        """
        kind = executor or record.usual_executor
        check_cluster_options(kind, ray, slurm)
        cluster = RayOptions(address=record.ray_address, code=record.ray_code, wait_s=record.ray_wait_s)
        return cls(
            executor=kind,
            devices=tuple(devices) if devices else _devices_for(kind, record.devices),
            slots_per_device=slots_per_device or _slots_for(kind, record.slots_per_device),
            devices_per_experiment=devices_per_experiment or record.devices_per_experiment,
            node_retries=record.node_retries if node_retries is None else node_retries,
            ray=cluster.changed(ray),
            slurm=(slurm or record.slurm) if kind == "slurm" else {},
            threads=record.threads,
            determinism=record.determinism,
            **others,
        )

    def options(self, original: Original, run_id: str | None = None) -> RunOptions:
        """Gives the options of the new run."""
        return RunOptions(
            storage=self.storage,
            run_id=run_id,
            executor=self.executor,
            processes=self.processes,
            devices=tuple(self.devices),
            slots_per_device=self.slots_per_device,
            devices_per_experiment=self.devices_per_experiment,
            node_retries=self.node_retries,
            ray=self.ray,
            slurm=self.slurm,
            threads=self.threads,
            determinism=self.determinism,
            reproduces=original.run_id,
        )

    def environment(self, folder: Path) -> dict[str, Any]:
        """Gives the surroundings that experiments would have now.

        Args:
            folder: where the config lay.
        """
        return capture_environment(
            threads=self.threads,
            deterministic=self.determinism == "bitwise",
            folder=folder,
            variables=os.environ if self.executor == "inline" else worker_environment(self.threads),
            world_size=self.devices_per_experiment,
            backend=backend_of(self.devices, self.devices_per_experiment),
        )

    def differences(self, original: Original, experiments: Sequence[int]) -> dict[int, list[Difference]]:
        """Gives in what the surroundings differ from those in which experiments ran; the user's modules are imported.

        Args:
            original: the run that they are from.
            experiments: their numbers.

        Returns:
            By experiment: what differs from the surroundings that it began in, and what was changed while it went on.
        """
        now = self.environment(original.code_folder)
        return differences_from(original, experiments, lambda number: now)


def _devices_for(executor: ExecutorKind, recorded: Sequence[str]) -> tuple[str, ...]:
    """Gives the devices of a run as an executor takes them: a cluster shares out its own, which have no numbers."""
    return tuple(dict.fromkeys(map(kind_of, recorded))) if executor == "ray" else tuple(recorded)


def _slots_for(executor: ExecutorKind, recorded: int | Literal["auto"]) -> int | Literal["auto"]:
    return 1 if executor in ("ray", "slurm") and recorded == "auto" else recorded


def differences_from(
    original: Original, experiments: Sequence[int], now: Callable[[int], dict[str, Any]]
) -> dict[int, list[Difference]]:
    """Gives in what surroundings differ from those of experiments, by experiment; see `Launching.differences`.

    Args:
        original: the run of the experiments.
        experiments: their numbers.
        now: gives the surroundings that an experiment is compared with.
    """
    found: dict[int, list[Difference]] = {}
    compared: list[tuple[Any, Any, list[Difference]]] = []  # nearly all of a run have the same
    for number in experiments:
        pair = original.began_in(number), now(number)
        known = next((each for one, other, each in compared if (one is pair[0] and other is pair[1])), None)
        if known is None:
            known = environment_differences(*pair)
            compared.append((*pair, known))
        found[number] = [*known, *original.changed_meanwhile(number)]
    return found


class Watching:
    """Compares each experiment of a repetition with its original while they run.

    Attributes:
        comparisons: by experiment.
        has_stopped: whether it has asked for the end.
    """

    def __init__(
        self,
        comparisons: Mapping[int, RunningComparison],
        is_settled: Callable[[RunningComparison], bool],
        tell: Tell,
    ) -> None:
        """Makes the watch of a run.

        Args:
            comparisons: one for each experiment that runs, by id.
            is_settled: whether an experiment need not go on; once this is true of all that have not ended, the run
                ends.
            tell: takes a line when bits part.
        """
        self.comparisons = comparisons
        self.has_stopped = False
        self._is_settled = is_settled
        self._tell = tell

    def __call__(self, event: dict[str, Any]) -> bool:
        """Takes an event of the run; says whether the run has to end."""
        experiment_id = experiment_of(event)
        running = None if experiment_id is None else self.comparisons.get(experiment_id)
        if running is None:
            return False
        had_parted = running.parting is not None
        running.take(event)
        if running.parting is not None and not had_parted:
            self._tell(f"experiment {experiment_id}: bits part {place_text(running.parting)}")
        if running.new.end is None and not self._is_settled(running):
            return self.has_stopped
        going = [each for each in self.comparisons.values() if each.new.end is None]
        if going and all(map(self._is_settled, going)):
            self.has_stopped = True
        return self.has_stopped


def repeat(
    original: Original, repetition: Repetition, launching: Launching, watching: Watching, run_id: str | None = None
) -> RunSummary:
    """Runs experiments again, into a new run.

    Args:
        original: the run that they are from.
        repetition: the experiments.
        launching: how.
        watching: is shown every event, and may end the run.
        run_id: of the new run; None for the time of day.

    Raises:
        RunError: the run cannot start, or cannot go on at all.
    """
    display = open_display() if launching.progress else None
    try:
        return launch(
            repetition.document,
            repetition,
            launching.options(original, run_id),
            command=launching.command,
            observer=display,
            on_event=watching,
            skip=repetition.skip,
        )
    finally:
        if display is not None:
            display.close()


def failure_of(running: RunningComparison, *, was_stopped: bool) -> str | None:
    """Gives why an experiment did not come to its end, None where it did, or was stopped because it had diverged."""
    match running.new.end:
        case "done":
            return None
        case "failed":
            return (running.new.error or "failed without saying why").strip().splitlines()[0]
        case _ if was_stopped:
            return None
        case _:
            return INTERRUPTED
