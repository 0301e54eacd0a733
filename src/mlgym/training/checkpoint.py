"""Checkpoints on disk: written so that one stands completely or not at all, read without executing anything in them.

One is a folder `checkpoints/epoch_3-step_120` with `model.safetensors` (parameters and buffers), `state.json` (epoch,
step, scores, states of callbacks) and `manifest.json` (size and sha256 of each file), which is written last.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file, save
from torch import Tensor, nn

from mlgym.errors import TrainingError

MODEL_FILE: Final = "model.safetensors"
STATE_FILE: Final = "state.json"
MANIFEST_FILE: Final = "manifest.json"
_NAME: Final = re.compile(r"epoch_(\d+)-step_(\d+)")


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


def checkpoint_name(epoch: int, step: int) -> str:
    """Gives the name of a checkpoint's folder."""
    return f"epoch_{epoch}-step_{step}"


def write_checkpoint(
    folder: Path, *, epoch: int, step: int, model: nn.Module, state: Mapping[str, Any]
) -> StoredCheckpoint:
    """Writes a checkpoint: under a temporary name, synced, then renamed, so that a crash never leaves half of one.

    Args:
        folder: the checkpoints' folder of the experiment; made where missing.
        epoch: finished epochs.
        step: optimizer updates.
        model: its parameters and buffers are stored; tensors that share memory are stored once.
        state: JSON-able values that belong to this moment.

    Raises:
        OSError: the disk refused; nothing of the checkpoint is visible then.
    """
    name = checkpoint_name(epoch, step)
    files = {MODEL_FILE: _model_bytes(model), STATE_FILE: json.dumps(state, indent=1).encode()}
    hashes = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    manifest = {file: {"bytes": len(files[file]), "sha256": hashes[file]} for file in files}
    files[MANIFEST_FILE] = json.dumps(manifest, indent=1).encode()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.{os.getpid()}.tmp"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        for file, content in files.items():
            _write_synced(temporary / file, content)
        _sync_folder(temporary)
        shutil.rmtree(folder / name, ignore_errors=True)
        temporary.rename(folder / name)
        _sync_folder(folder)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return StoredCheckpoint(folder / name, epoch, step, sum(map(len, files.values())), hashes)


def delete_checkpoint(folder: Path, epoch: int, step: int) -> Path:
    """Removes a checkpoint; a crash in between leaves a hidden folder, never half a checkpoint.

    Returns:
        Where it was.
    """
    path = folder / checkpoint_name(epoch, step)
    doomed = folder / f".{path.name}.{os.getpid()}.deleted"
    path.rename(doomed)
    shutil.rmtree(doomed)
    return path


def list_checkpoints(folder: Path) -> list[StoredCheckpoint]:
    """Gives the checkpoints of a folder that stand completely, oldest first; does not verify hashes."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match and (path / MANIFEST_FILE).is_file():
            manifest = json.loads((path / MANIFEST_FILE).read_text())
            size = sum(entry["bytes"] for entry in manifest.values())
            hashes = {file: entry["sha256"] for file, entry in manifest.items()}
            found.append(StoredCheckpoint(path, int(match[1]), int(match[2]), size, hashes))
    return sorted(found, key=lambda one: (one.step, one.epoch))


def verify_checkpoint(checkpoint: StoredCheckpoint) -> None:
    """Reads every file and compares its hash with the manifest.

    Raises:
        TrainingError: a file is missing or was changed.
    """
    for file, expected in checkpoint.sha256.items():
        path = checkpoint.path / file
        actual = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
        if actual != expected:
            raise TrainingError(
                f"checkpoint file {path} does not match its manifest (sha256 {actual}, expected {expected}); "
                "it was damaged or changed, so it is not loaded"
            )


def load_weights(checkpoint: StoredCheckpoint, model: nn.Module) -> None:
    """Loads parameters and buffers of a verified checkpoint into `model`.

    Raises:
        TrainingError: the file does not match its manifest, or was written by another architecture.
    """
    verify_checkpoint(checkpoint)
    tensors = load_file(checkpoint.path / MODEL_FILE)
    expected = model.state_dict()
    aliases = _aliases(expected)
    for name, first in aliases.items():
        if name not in tensors and first in tensors:
            tensors[name] = tensors[first]
    missing = [name for name in expected if name not in tensors]
    unknown = sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        name = (missing or unknown)[0]
        where = "is missing in the checkpoint" if missing else "is not in the model"
        raise TrainingError(
            f"checkpoint {checkpoint.path} does not fit the model: `{name}` {where} "
            f"({len(missing)} missing, {len(unknown)} unknown); it was written by another architecture"
        )
    model.load_state_dict(tensors)


def _model_bytes(model: nn.Module) -> bytes:
    state = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    aliases = _aliases(state)
    return save({name: value.detach().cpu().contiguous() for name, value in state.items() if name not in aliases})


def _aliases(state: Mapping[str, Any]) -> dict[str, str]:
    """Gives the names whose tensor is one and the same as an earlier name's, as tied weights are."""
    first: dict[Any, str] = {}
    aliases: dict[str, str] = {}
    for name, value in state.items():
        if not isinstance(value, Tensor) or value.numel() == 0:
            continue
        key = (value.device, value.data_ptr(), value.shape, value.stride(), value.dtype)
        if key in first:
            aliases[name] = first[key]
        else:
            first[key] = name
    return aliases


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
