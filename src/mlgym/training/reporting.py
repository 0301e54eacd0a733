"""Turns what happens in training into events: scores, progress, digests, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from mlgym.events.types import (
    CheckpointDeleted,
    CheckpointSaved,
    Digest,
    EvaluationResult,
    ExperimentStatus,
    LossScore,
    MetricScore,
    MetricTable,
    TrainingStopped,
    finite,
)
from mlgym.training.checkpoint import StoredCheckpoint
from mlgym.training.context import ExperimentContext
from mlgym.training.digest import digest
from mlgym.training.evaluator import SplitScores
from mlgym.training.state import State

_MIN_INTERVAL_S: Final = 0.2
RUNNING_LOSS: Final = "running_loss"


class Reporter:
    """Emits the events of one experiment."""

    def __init__(self, context: ExperimentContext) -> None:
        self._context = context
        self._last_progress_s = 0.0

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

    def scores(self, state: State, scores: Mapping[str, SplitScores]) -> None:
        """Tells what an evaluation measured."""
        self._context.sink.emit(
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

    def digest(self, state: State) -> None:
        """Tells the hashes of parameters and optimizers."""
        optimizers = [optimizer.state_dict() for optimizer in state.optimizers]
        self._context.sink.emit(
            Digest(**self._where(state), parameters=digest(state.model.state_dict()), optimizer=digest(optimizers))
        )

    def stopped(self, state: State, reason: str) -> None:
        """Tells why training ended early."""
        self._context.sink.emit(TrainingStopped(**self._where(state), reason=reason))

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

    def checkpoint_deleted(self, path: Path, epoch: int, step: int) -> None:
        """Tells that a checkpoint is gone."""
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
