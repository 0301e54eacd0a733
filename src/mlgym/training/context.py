"""What the runner gives to an experiment: who it is, where it writes, whom it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mlgym.events.sink import EventSink
from mlgym.training.world import World


@dataclass(slots=True)
class StopFlag:
    """Set by a signal handler; read at every step boundary."""

    requested: bool = False


@dataclass(frozen=True, slots=True)
class ExperimentContext:
    """The surroundings of one experiment.

    Args:
        run_id: the run it belongs to.
        experiment_id: its number in the run, from 0.
        run_dir: the run folder.
        seed: the run's seed for this experiment.
        device: where tensors live, such as `cpu` or `cuda:1`.
        sink: takes the events.
        job_id: the job that runs it.
        attempt: 0 for the first time; later ones go on from the newest checkpoint.
        lineage: one more than before where the continuation need not be bit-identical to what came before.
        allow_data_change: go on though the data is not what the experiment was trained with so far.
        known_data: by split `sha256` and `num_samples` of the data that the log says it was begun with.
        known_checkpoints: paths, relative to the run folder, of the checkpoints that the log says stand.
        checkpoint_place: address where checkpoints stand beside the run folder, as `open_place` takes it, or None.
        keep_local_checkpoints: whether those that stand there stay in the run folder, too.
        is_scratch: whether the run folder is one of this machine's that goes when the experiment ends.
        fold: the fold that it is of, from 0; None where nothing is cross-validated.
        until_epoch: ends after so many epochs, ready to go on to those of the config, >= 1; None for all of them.
        components: every object that was built for the experiment, by key path.
        stop: asks for an end at the next step boundary.
        world: the processes that train it together, of which this is one.
    """

    run_id: str
    experiment_id: int
    run_dir: Path
    seed: int
    device: str
    sink: EventSink
    job_id: str = ""
    attempt: int = 0
    lineage: int = 0
    allow_data_change: bool = False
    known_data: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    known_checkpoints: tuple[str, ...] = ()
    checkpoint_place: str | None = None
    keep_local_checkpoints: bool = True
    is_scratch: bool = False
    fold: int | None = None
    until_epoch: int | None = None
    components: Mapping[str, Any] = field(default_factory=dict)
    stop: StopFlag = field(default_factory=StopFlag)
    world: World = field(default_factory=World.single)


@runtime_checkable
class Experiment(Protocol):
    """The root object of a config: what one experiment does."""

    def run(self, context: ExperimentContext) -> None:
        """Runs to the end.

        Raises:
            mlgym.errors.Interrupted: a stop was requested; everything that must be kept is on disk.
        """
