"""Turns what happens in training into events: scores, progress, digests, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mlgym.components.data import Fingerprint
from mlgym.events.types import (
    CheckpointDeleted,
    CheckpointSaved,
    DataFingerprint,
    Digest,
    EvaluationResult,
    ExperimentResumed,
    ExperimentStatus,
    Log,
    LossScore,
    MetricScore,
    MetricTable,
    ModelSummary,
    SystemMetrics,
    TrainingStopped,
    finite,
)
from mlgym.training.checkpoint import StoredCheckpoint, position_of
from mlgym.training.context import ExperimentContext
from mlgym.training.digest import state_digest
from mlgym.training.evaluator import SplitScores
from mlgym.training.ledger import ResultLedger
from mlgym.training.load import LoadMeter
from mlgym.training.losses import loss_hashes
from mlgym.training.state import State

_MIN_INTERVAL_S: Final = 0.2
_LOAD_EVERY_S: Final = 5.0
_YOUNG_S: Final = 10.0
_LOAD_WHILE_YOUNG_S: Final = 1.0
TRAIN: Final = "train"
RUNNING_LOSS: Final = "running_loss"


@dataclass(frozen=True, slots=True)
class Contents:
    """What model and optimizers hold, with whole tensors.

    Args:
        model: its `state_dict()`.
        optimizers: those of the optimizers, in the order of their turns.
    """

    model: Mapping[str, Any]
    optimizers: Sequence[Mapping[str, Any]]


class Reporter:
    """Emits the events of one experiment.

    Attributes:
        results: sends what must reach the log exactly once.
    """

    def __init__(self, context: ExperimentContext) -> None:
        self.results = ResultLedger(
            context.sink, run_id=context.run_id, experiment_id=context.experiment_id, lineage=context.lineage
        )
        self._context = context
        self._last_progress_s = 0.0
        self._meter: LoadMeter | None = None
        self._next_load_s = 0.0
        self._old_from_s = 0.0
        self._has_named_tensors = False

    def _who(self) -> dict[str, Any]:
        return {"grid_search_id": self._context.run_id, "experiment_id": self._context.experiment_id}

    def _where(self, state: State) -> dict[str, Any]:
        return self._who() | {"epoch": state.epoch, "step": state.step}

    def progress(
        self,
        state: State,
        phase: Literal["train", "evaluation"],
        split: str,
        *,
        splits: list[str],
        batch: int,
        num_batches: int,
    ) -> None:
        """Tells how far it is, at most every 0.2 s; callers call it at most ten times an epoch."""
        now = time.monotonic()
        if now - self._last_progress_s < _MIN_INTERVAL_S:
            return
        self._last_progress_s = now
        if now >= self._next_load_s:
            self._load(state, now)
        self._context.sink.emit(
            ExperimentStatus(
                **self._who(),
                status=phase,
                num_epochs=state.num_epochs,
                current_epoch=state.epoch,
                splits=splits,
                current_split=split,
                num_batches=num_batches,
                current_batch=batch,
            )
        )

    def _load(self, state: State, now: float) -> None:
        if self._meter is None:
            # Its steps count from here on: an experiment that goes on did not make the ones before just now.
            self._meter = LoadMeter(self._context.device, step=state.step)
            self._old_from_s = now + _YOUNG_S
            self._next_load_s = now + _LOAD_WHILE_YOUNG_S
            return
        self._next_load_s = now + (_LOAD_EVERY_S if now >= self._old_from_s else _LOAD_WHILE_YOUNG_S)
        self._context.sink.emit(SystemMetrics(**self._who(), **asdict(self._meter.read(state.step))))

    def scores(self, state: State, scores: Mapping[str, SplitScores]) -> None:
        """Tells what an evaluation measured."""
        self.results.emit(
            EvaluationResult(
                **self._where(state),
                metric_scores=[
                    MetricScore(name, split, *finite(value))
                    for split, measured in scores.items()
                    for name, value in measured.metrics.items()
                ],
                loss_scores=[
                    LossScore(name, split, *finite(value))
                    for split, measured in scores.items()
                    for name, value in measured.losses.items()
                ],
                tables=[
                    MetricTable(name, split, values)
                    for split, measured in scores.items()
                    for name, values in measured.tables.items()
                ],
            )
        )

    def digest(
        self, state: State, contents: Contents, losses: Tensor, *, batches_per_step: int, order: str | None
    ) -> None:
        """Tells the hashes of parameters and optimizers, and of the losses on the way here.

        Args:
            state: as it stands.
            contents: what the model and the optimizers hold.
            losses: (batches,), since the last digest of the epoch.
            batches_per_step: batches of an optimizer update.
            order: hash of the order of the epoch's samples, where it is known.
        """
        model = state_digest(contents.model)
        optimizers = state_digest(contents.optimizers, "optimizers")
        hashes, steps_per_loss = loss_hashes(losses, batches_per_step)
        names = [] if self._has_named_tensors else [*model.names, *optimizers.names]
        self._has_named_tensors = True
        self.results.emit(
            Digest(
                **self._where(state),
                parameters=model.sha256,
                optimizer=optimizers.sha256,
                tensors="".join([*model.tensors, *optimizers.tensors]),
                names=names,
                losses=hashes,
                steps_per_loss=steps_per_loss,
                order=order,
            )
        )

    def data(self, split: str, found: Fingerprint, classes: dict[str, int] | None) -> None:
        """Tells what the samples of a split come to, and how many there are of each class where that is known."""
        self.results.emit(
            DataFingerprint(
                **self._who(),
                split=split,
                num_samples=found.num_samples,
                sha256=found.sha256,
                covers=found.covers,
                classes=classes,
            )
        )

    def model(self, model: nn.Module) -> None:
        """Tells how large the model is."""
        parameters, buffers = list(model.parameters()), list(model.buffers())
        if any(map(is_lazy, [*parameters, *buffers])):
            return  # nobody knows before the first batch
        self.results.emit(
            ModelSummary(
                **self._who(),
                name=type(model).__name__,
                num_parameters=sum(one.numel() for one in parameters),
                num_trainable_parameters=sum(one.numel() for one in parameters if one.requires_grad),
                num_bytes=sum(one.numel() * one.element_size() for one in [*parameters, *buffers]),
            )
        )

    def stopped(self, state: State, reason: str) -> None:
        """Tells why training ended early."""
        self.results.emit(TrainingStopped(**self._where(state), reason=reason))

    def resumed(self, state: State, path: Path | None, *, replaces_later: bool) -> None:
        """Tells where the experiment goes on."""
        self._context.sink.emit(
            ExperimentResumed(
                **self._where(state),
                job_id=self._context.job_id,
                path=None if path is None else self._relative(path),
                lineage=self._context.lineage,
                replaces_later=replaces_later,
            )
        )

    def warn(self, message: str) -> None:
        """Tells something that the user should know."""
        self._context.sink.emit(Log(**self._who(), level="warning", logger="mlgym.training", message=message))

    def state_dict(self) -> dict[str, Any]:
        """Gives what was told so far, as far as later reports depend on it."""
        return {"results": self.results.state_dict(), "has_named_tensors": self._has_named_tensors}

    def load_state_dict(self, state: dict[str, Any], *, step: int) -> bool:
        """Goes on from a state and sends again what may not have reached the log; False for one of another lineage.

        Args:
            state: as `state_dict` gave it.
            step: optimizer updates so far.
        """
        if not self.results.load_state_dict(state["results"], step=step):
            return False
        self._has_named_tensors = state["has_named_tensors"]
        return True

    def checkpoint_saved(self, checkpoint: StoredCheckpoint, reasons: tuple[str, ...]) -> None:
        """Tells that a checkpoint stands."""
        self._context.sink.emit(
            CheckpointSaved(
                **self._who(),
                epoch=checkpoint.epoch,
                step=checkpoint.step,
                path=self._relative(checkpoint.path),
                bytes=checkpoint.bytes,
                sha256=checkpoint.sha256,
                reasons=list(reasons),
            )
        )

    def checkpoint_deleted(self, path: Path) -> None:
        """Tells that a checkpoint is gone."""
        epoch, step = position_of(path)
        self._context.sink.emit(CheckpointDeleted(**self._who(), epoch=epoch, step=step, path=self._relative(path)))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._context.run_dir).as_posix()


def flat_scores(scores: Mapping[str, SplitScores]) -> dict[str, float]:
    """Gives the numbers of an evaluation by `split/metric`."""
    return {
        f"{split}/{name}": value
        for split, measured in scores.items()
        for name, value in {**measured.losses, **measured.metrics}.items()
    }
