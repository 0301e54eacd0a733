"""Saving checkpoints beside training: the training thread copies, one other thread writes.

At most one checkpoint is on its way. Where there is a place for checkpoints beside the folder, a courier brings there
what stands here, and training waits for it only at its end. A failure is raised in the training thread, at its next
step boundary; an older checkpoint that cannot be deleted is none, since the new one stands.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from mlgym.errors import TrainingError
from mlgym.tracking.manifest import remove_checkpoint
from mlgym.training.checkpoint import (
    MODEL_SHARES,
    TRAINING_SHARES,
    CheckpointContent,
    StoredCheckpoint,
    write_checkpoint,
    write_share,
)
from mlgym.training.checkpoint_courier import Courier, Delivered
from mlgym.training.checkpoint_shards import Member, Share, is_share, shares_of

_PATIENCE_S: Final = 60.0
_URGENT_S: Final = 15.0
# Where training has failed here, others may have failed too, and write no share any more.
_OTHERS_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of one save.

    Args:
        checkpoint: what stands now.
        reasons: why it was saved, such as `best`.
        deleted: folders of checkpoints that it replaced and that are gone.
        complaints: which of them could not be deleted, and why, in words.
    """

    checkpoint: StoredCheckpoint
    reasons: tuple[str, ...]
    deleted: tuple[Path, ...]
    complaints: tuple[str, ...] = ()


class CheckpointWriter:
    """Writes the checkpoints of one experiment, one after the other.

    Args:
        folder: where they go; made where missing.
        courier: brings them to another place, too; None for none.
        member: which one of the processes that write each checkpoint together; None where one alone does.

    Attributes:
        has_news: whether `take_news` has something to give or to raise; cheap enough to be read at every step.
    """

    def __init__(self, folder: Path, courier: Courier | None = None, member: Member | None = None) -> None:
        self.has_news = False
        self._folder = folder
        self._courier = courier
        self._member = member
        self._num_saves = 0
        self._give_up_at_s = float("inf")
        self._copies = _Copies()
        self._thread: threading.Thread | None = None
        # Filled by the writing thread and emptied by the other, neither of which ever replaces it or the failure.
        self._news: deque[Saved | Delivered] = deque()
        self._failure: Exception | None = None
        if courier is not None:
            courier.tell = self._tell

    def save(self, content: CheckpointContent, reasons: Sequence[str], replaced: Sequence[Path]) -> None:
        """Copies the content and lets it be written; waits for the one before, if that is still on its way.

        Args:
            content: may change as soon as this returns.
            reasons: why it is saved.
            replaced: folders of checkpoints that go once this one stands.

        Raises:
            TrainingError: an earlier one could not be written.
        """
        self.wait()
        copy, shares = self._copies.of(content)
        self._num_saves += 1
        self._thread = threading.Thread(
            target=self._write, args=(copy, shares, tuple(reasons), tuple(replaced)), name="checkpoint", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Waits until nothing is on its way.

        Raises:
            TrainingError: it could not be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._raise_failure()

    def take_news(self) -> list[Saved | Delivered]:
        """Gives the checkpoints that stand since the last call, oldest first, and what the courier has to tell.

        Raises:
            TrainingError: one could not be written.
        """
        self.has_news = False
        self._raise_failure()
        news = []
        while self._news:
            news.append(self._news.popleft())
        return news

    def settle(self, names: Iterable[str]) -> None:
        """Has the courier, where there is one, make its place have these and no others; see `Courier.settle`."""
        if self._courier is not None:
            self._courier.settle(names)

    def close(self, is_urgent: Callable[[], bool] = lambda: False) -> list[str]:
        """Waits until nothing is on its way, and raises nothing: for the end, also after another error.

        Args:
            is_urgent: asked while the courier is waited for; from when it says so, there are only seconds left.

        Returns:
            Names of checkpoints that the courier could not bring to its place.
        """
        self._give_up_at_s = time.monotonic() + _OTHERS_S
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._courier is None:
            return []
        return self._courier.finish(patience_s=_PATIENCE_S, is_urgent=is_urgent, urgent_s=_URGENT_S)

    def _raise_failure(self) -> None:
        failure = self._failure
        if isinstance(failure, OSError):
            raise TrainingError(
                f"no checkpoint can be written to {self._folder}: {failure.strerror or failure}; the ones before stand"
            ) from failure
        if failure is not None:
            raise failure

    def _write(
        self,
        content: CheckpointContent,
        shares: dict[str, Share],
        reasons: tuple[str, ...],
        replaced: tuple[Path, ...],
    ) -> None:
        try:
            member = self._member_now()
            if member is not None and member.rank:
                write_share(self._folder, content, shares, member)
                return
            checkpoint = write_checkpoint(self._folder, content, shares, member)
            deleted, complaints = _delete(replaced)
        except Exception as failure:
            self._failure = failure
        else:
            if self._courier is not None:
                # What stands there yet is not gone; the courier tells once it is.
                deleted = ()
                self._courier.replace(checkpoint.path.name, [path.name for path in replaced])
            self._news.append(Saved(checkpoint, reasons, deleted, complaints))
        self.has_news = True

    def _member_now(self) -> Member | None:
        """Gives the member with a token of this save alone: all of them save equally often."""
        member = self._member
        if member is None:
            return None
        return replace(member, token=member.token + self._num_saves, is_over=self._is_over)

    def _is_over(self) -> bool:
        return time.monotonic() > self._give_up_at_s

    def _tell(self, news: Delivered) -> None:
        self._news.append(news)
        self.has_news = True


def _delete(replaced: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Removes checkpoints; gives those that are gone, and what is to be said of the others."""
    complaints = []
    for path in replaced:
        try:
            remove_checkpoint(path)
        except OSError as error:
            complaints.append(
                f"checkpoint {path} is not needed any more, but cannot be deleted: {error.strerror or error}; the new "
                "one stands, and resuming the run tries again"
            )
    return tuple(path for path in replaced if not path.exists()), tuple(complaints)


def _divided(tensors: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], dict[str, Share]]:
    """Gives the tensors that each process has, and what this one has of the others, their names with a prefix."""
    plain = {name: tensor for name, tensor in tensors.items() if not is_share(tensor)}
    cut = {f"{prefix}{name}": tensor for name, tensor in tensors.items() if is_share(tensor)}
    return plain, shares_of(cut) if cut else {}


class _Copies:
    """Memory for one checkpoint, used again for the next: a fresh allocation costs more than the copy into it."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, str], Tensor] = {}

    def of(self, content: CheckpointContent) -> tuple[CheckpointContent, dict[str, Share]]:
        """Gives the content with its tensors copied to the host, and what this process has of those that are cut.

        Both are valid until the next call.
        """
        model, model_shares = _divided(content.model, MODEL_SHARES)
        tensors, training_shares = _divided(content.tensors, TRAINING_SHARES)
        shares = model_shares | training_shares
        locals_ = self._copied("share", {name: share.tensor for name, share in shares.items()})
        copied = replace(content, model=self._copied("model", model), tensors=self._copied("training", tensors))
        # The copies to pinned memory were only queued, each on the device of its tensor.
        for device in {one.device for one in (*content.model.values(), *content.tensors.values()) if one.is_cuda}:
            torch.cuda.synchronize(device)
        return copied, {name: replace(share, tensor=locals_[name]) for name, share in shares.items()}

    def _copied(self, kind: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        copies = {}
        for name, tensor in tensors.items():
            buffer = self._buffers.get((kind, name))
            if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
                buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
                self._buffers[kind, name] = buffer
            copies[name] = buffer.copy_(tensor, non_blocking=tensor.is_cuda)
        return copies
