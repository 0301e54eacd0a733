"""Checkpoints on disk: written so that one stands completely or not at all, read without executing anything in them.

One is a folder `checkpoints/epoch_3-step_120` with `model.safetensors` (parameters and buffers),
`training.safetensors` (every other tensor), `state.json` (everything else) and `manifest.json` (size and sha256 of each
file), which is written last. Where a model is cut into shares, each process adds a file with its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from mlgym.errors import TrainingError
from mlgym.events.durable import fsync_folder, write_all
from mlgym.tracking.manifest import (
    CHECKPOINT_NAME,
    MANIFEST_FILE,
    FileEntry,
    make_checkpoints_folder,
    manifest_bytes,
    publish,
    read_manifest,
    sha256_of,
)
from mlgym.training.checkpoint_shards import (
    Member,
    Share,
    Target,
    give_up,
    hand_over,
    read_shares,
    shard_files,
    take_over,
    write_shard,
)
from mlgym.training.model_state import put_rest, put_weights
from mlgym.training.state_codec import restore
from mlgym.training.tensor_file import write_tensors

MODEL_FILE: Final = "model.safetensors"
TRAINING_FILE: Final = "training.safetensors"
STATE_FILE: Final = "state.json"
MODEL_SHARES: Final = "model:"
TRAINING_SHARES: Final = "training:"
_OF_MODEL: Final = "state.model."
_HIDDEN: Final = re.compile(r"\.(epoch_\d+-step_\d+)\.\d+\.(tmp|old|deleted)")


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint that stands on disk.

    Args:
        path: its folder.
        epoch: finished epochs.
        step: optimizer updates.
        bytes: size of all files together.
        sha256: hash (hex) by file name.
    """

    path: Path
    epoch: int
    step: int
    bytes: int
    sha256: dict[str, str]

    @classmethod
    def of_files(cls, path: Path, files: Mapping[str, FileEntry]) -> Self:
        """Gives a checkpoint by its folder and by what its manifest says of its files."""
        size = sum(entry.bytes for entry in files.values())
        return cls(path, *position_of(path), size, {file: entry.sha256 for file, entry in files.items()})


@dataclass(frozen=True, slots=True)
class CheckpointContent:
    """What a checkpoint holds.

    Args:
        epoch: finished epochs.
        step: optimizer updates.
        model: parameters and buffers by name, as `weights_of` gives them.
        tensors: all other tensors by key path. Those here and in the model that are `DTensor`s are shares.
        state: everything else, as JSON can hold it.
    """

    epoch: int
    step: int
    model: Mapping[str, Tensor]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)


def checkpoint_name(epoch: int, step: int) -> str:
    """Gives the name of a checkpoint's folder."""
    return f"epoch_{epoch}-step_{step}"


def position_of(path: Path) -> tuple[int, int]:
    """Gives (finished epochs, optimizer updates) of a checkpoint's folder by its name."""
    match = CHECKPOINT_NAME.fullmatch(path.name)
    assert match
    return int(match[1]), int(match[2])


def age_of(name: str) -> tuple[int, int]:
    """Gives what sorts checkpoints by the names of their folders, oldest first."""
    epoch, step = position_of(Path(name))
    return step, epoch


def write_checkpoint(
    folder: Path,
    content: CheckpointContent,
    shares: Mapping[str, Share] | None = None,
    member: Member | None = None,
) -> StoredCheckpoint:
    """Writes a checkpoint: under a temporary name, synced, then renamed, so that a crash never leaves half of one.

    Args:
        folder: the checkpoints' folder of the experiment; made where missing.
        content: what to write; its tensors are contiguous, on the CPU, and do not change meanwhile.
        shares: what this process has of tensors that are cut, by name with its prefix.
        member: which of several processes this is, the first one; the others call `write_share`. None for a process
            alone.

    Raises:
        TrainingError: a tensor that cannot be written, or another process has not written its share.
        OSError: the disk refused; nothing of the checkpoint is visible then.
    """
    name = checkpoint_name(content.epoch, content.step)
    make_checkpoints_folder(folder)
    temporary = folder / f".{name}.{os.getpid() if member is None else member.token}.tmp"
    if member is None:
        shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(exist_ok=member is not None)
        files = {
            MODEL_FILE: write_tensors(temporary / MODEL_FILE, content.model),
            TRAINING_FILE: write_tensors(temporary / TRAINING_FILE, content.tensors),
            STATE_FILE: _write_synced(temporary / STATE_FILE, _encoded(content.state)),
        }
        if member is not None:
            entries = {member.file: write_shard(temporary, member, shares or {})} | take_over(temporary, member)
            files |= {file: (entry.bytes, entry.sha256) for file, entry in entries.items()}
        manifest = manifest_bytes({file: FileEntry(size, sha256) for file, (size, sha256) in files.items()})
        files[MANIFEST_FILE] = _write_synced(temporary / MANIFEST_FILE, manifest)
        fsync_folder(temporary)
        publish(temporary, folder / name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    hashes = {file: sha256 for file, (_, sha256) in files.items() if file != MANIFEST_FILE}
    size = sum(size for size, _ in files.values())
    return StoredCheckpoint(folder / name, content.epoch, content.step, size, hashes)


def write_share(folder: Path, content: CheckpointContent, shares: Mapping[str, Share], member: Member) -> None:
    """Writes what a process other than the first adds to a checkpoint; the first one publishes it.

    Args:
        folder: the checkpoints' folder of the experiment; made where missing.
        content: says which checkpoint it is.
        shares: what this process has.
        member: which process this is.

    Raises:
        TrainingError: a tensor that cannot be written.
        OSError: the disk refused.
    """
    make_checkpoints_folder(folder)
    temporary = folder / f".{checkpoint_name(content.epoch, content.step)}.{member.token}.tmp"
    temporary.mkdir(exist_ok=True)
    try:
        entry = write_shard(temporary, member, shares)
    except (OSError, TrainingError) as error:
        # Else the first process would wait for it, and nobody would hear why.
        with suppress(OSError):
            give_up(temporary, member, str(error))
        raise
    hand_over(temporary, member, entry)


def tidy(folder: Path) -> None:
    """Finishes what a crash interrupted: removes hidden leftovers, and puts back what was about to be replaced.

    Only for a folder that nobody writes to.
    """
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _HIDDEN.fullmatch(path.name)
        if match and match[2] == "old" and not (folder / match[1]).exists():
            path.rename(folder / match[1])
        elif match:
            shutil.rmtree(path, ignore_errors=True)


def list_checkpoints(folder: Path) -> list[StoredCheckpoint]:
    """Gives the checkpoints of a folder that stand completely, oldest first; does not verify hashes.

    One with a damaged manifest is listed without hashes, so that `verify_checkpoint` refuses it.
    """
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if CHECKPOINT_NAME.fullmatch(path.name) and (path / MANIFEST_FILE).is_file():
            found.append(StoredCheckpoint.of_files(path, read_manifest(path / MANIFEST_FILE)))
    return sorted(found, key=lambda one: (one.step, one.epoch))


def verify_checkpoint(checkpoint: StoredCheckpoint) -> None:
    """Reads every file and compares its hash with the manifest.

    Raises:
        TrainingError: a file is missing or was changed.
    """
    if MODEL_FILE not in checkpoint.sha256:
        raise TrainingError(f"the manifest of checkpoint {checkpoint.path} is damaged, so it is not loaded")
    for file, expected in checkpoint.sha256.items():
        actual = sha256_of(checkpoint.path / file)
        if actual != expected:
            raise TrainingError(
                f"checkpoint file {checkpoint.path / file} does not match its manifest (sha256 {actual}, expected "
                f"{expected}); it was damaged or changed, so it is not loaded"
            )


def read_checkpoint(
    checkpoint: StoredCheckpoint, target: Target | None = None, *, verify: bool = True
) -> CheckpointContent:
    """Gives the content of a checkpoint after verifying it; its tensors have memory of their own.

    Args:
        checkpoint: which one.
        target: makes what each tensor is read into that was written in shares; None for whole ones on the CPU.
        verify: compare all files with the manifest; not where another process has done so.

    Raises:
        TrainingError: a file does not match its manifest.
    """
    if verify:
        verify_checkpoint(checkpoint)
    state = json.loads((checkpoint.path / STATE_FILE).read_text())
    shares = read_shares(checkpoint.path, checkpoint.sha256, TRAINING_SHARES, target)
    return CheckpointContent(
        epoch=checkpoint.epoch,
        step=checkpoint.step,
        model=read_weights(checkpoint, target),
        # Slices of one mapped file lie at odd addresses, where vectorised kernels give other bits.
        tensors={name: tensor.clone() for name, tensor in load_file(checkpoint.path / TRAINING_FILE).items()} | shares,
        state=state,
    )


def read_weights(checkpoint: StoredCheckpoint, target: Target | None = None) -> dict[str, Tensor]:
    """Gives the weights in a verified checkpoint, whole or in shares; see `read_checkpoint`."""
    shares = read_shares(checkpoint.path, checkpoint.sha256, MODEL_SHARES, target)
    return load_file(checkpoint.path / MODEL_FILE) | shares


def is_sharded(checkpoint: StoredCheckpoint) -> bool:
    """Tells whether a checkpoint was written in shares."""
    return bool(shard_files(checkpoint.sha256))


def load_weights(checkpoint: StoredCheckpoint, model: nn.Module) -> None:
    """Loads a verified checkpoint into `model`: parameters, buffers, and what else the model itself keeps.

    Raises:
        TrainingError: a file does not match its manifest, or was written by another architecture.
    """
    verify_checkpoint(checkpoint)
    put_weights(read_weights(checkpoint), model, str(checkpoint.path))
    rest = json.loads((checkpoint.path / STATE_FILE).read_text()).get("model")
    if rest is not None:
        # One by one: most of the file are the optimizers' tensors, which nobody wants here.
        with safe_open(checkpoint.path / TRAINING_FILE, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith(_OF_MODEL)}  # noqa: SIM118 - no dict
        put_rest(restore(rest, tensors), model)


def _encoded(state: Mapping[str, Any]) -> bytes:
    return json.dumps(state, separators=(",", ":"), allow_nan=False).encode()


def _write_synced(path: Path, content: bytes) -> tuple[int, str]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return len(content), hashlib.sha256(content).hexdigest()
