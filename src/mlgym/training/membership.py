"""Which of the processes that write each checkpoint together this one is."""

from __future__ import annotations

import time
from pathlib import Path

from mlgym.errors import TrainingError
from mlgym.tracking.manifest import make_checkpoints_folder
from mlgym.training.agreement import Agreement
from mlgym.training.checkpoint_shards import Member


def join(folder: Path, agreement: Agreement) -> Member:
    """Gives the part of this process in writing checkpoints; all processes of the experiment call it.

    Args:
        folder: where each writes its share, made where it is missing.
        agreement: the processes.

    Raises:
        TrainingError: not all of them see the same folder.
    """

    def meet() -> int:
        token = time.time_ns()
        make_checkpoints_folder(folder)
        _mark(folder, token).touch()
        return token

    token = agreement.as_main(meet)
    (apart,) = agreement.on(not _mark(folder, token).exists())
    if agreement.is_main:
        _mark(folder, token).unlink(missing_ok=True)
    if apart:
        raise TrainingError(
            f"not all processes of the experiment see {folder}, where each is to write its share of checkpoints: put "
            "the run folder where all of them see it (--storage), or choose `parallelism: {use: fsdp, checkpoints: "
            "full}`"
        )
    return Member(agreement.world.rank, agreement.world.size, token)


def _mark(folder: Path, token: int) -> Path:
    return folder / f".together.{token}"
