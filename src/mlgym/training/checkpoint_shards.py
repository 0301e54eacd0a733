"""Checkpoints of a model that is cut into shares: each process writes its own, and any number of processes reads them.

Beside the files that every checkpoint has stands one `shard-00001-of-00002.safetensors` for each process. What part of
which tensor a file has is said in its header, as `torch.distributed.checkpoint` writes it for safetensors, and read
back with its reader and planner. Its own metadata file is a pickle, and none is written or read here; nor do processes
send each other objects: each hands its file over by a note beside it, and the first publishes once all notes are there.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch
from safetensors import safe_open
from torch import Tensor

from mlgym.errors import TrainingError
from mlgym.tracking.atomic import write_atomically
from mlgym.tracking.manifest import FileEntry
from mlgym.training.tensor_file import write_tensors

SHARD_FILE: Final = re.compile(r"shard-(\d{5})-of-(\d{5})\.safetensors", re.ASCII)
WAIT_S: Final = 1800.0
_POLL_S: Final = 0.02
# As `HuggingFaceStorageReader` reads them.
_PLACES: Final = "DCP_SHARDING_INFO"
_SHAPES: Final = "mlgym_shapes"
_NOTE_SUFFIX: Final = ".note"

Target: TypeAlias = Callable[[tuple[int, ...], torch.dtype], Tensor]
"""Makes what a tensor of that shape is read into: a plain tensor for all of it, a `DTensor` for a share."""


@dataclass(frozen=True, slots=True)
class Member:
    """One process among those that write a checkpoint together.

    Args:
        rank: its number, in [0, size).
        size: how many there are.
        token: a number, the same for all of them, that no other attempt has.
        is_over: asked while the first one waits for the others: whether they are not to be waited for any more.
    """

    rank: int
    size: int
    token: int
    is_over: Callable[[], bool] = field(default=lambda: False, compare=False)

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"shard-{self.rank + 1:05d}-of-{self.size:05d}.safetensors"


@dataclass(frozen=True, slots=True)
class Share:
    """What one process has of a tensor.

    Args:
        tensor: its part, with memory of its own.
        offsets: where it begins, for each axis.
        shape: of the whole tensor.
    """

    tensor: Tensor
    offsets: tuple[int, ...]
    shape: tuple[int, ...]


def is_share(tensor: Tensor) -> bool:
    """Tells whether a tensor is a `DTensor`, without importing what that is."""
    return hasattr(tensor, "device_mesh")


def shares_of(tensors: Mapping[str, Tensor]) -> dict[str, Share]:
    """Gives what this process has of tensors that are cut; of those of which it has nothing, nothing."""
    from torch.distributed.checkpoint.default_planner import create_default_local_save_plan

    shares = {}
    for item in create_default_local_save_plan(dict(tensors), is_coordinator=False).items:
        data: Any = item.tensor_data
        if math.prod(data.chunk.sizes):
            local = tensors[item.index.fqn].to_local()  # type: ignore[attr-defined]  # of a `DTensor`
            shares[item.index.fqn] = Share(local, tuple(data.chunk.offsets), tuple(data.size))
    return shares


def write_shard(folder: Path, member: Member, shares: Mapping[str, Share]) -> FileEntry:
    """Writes the file of one process and syncs it.

    Raises:
        TrainingError: a tensor that cannot be written.
        OSError: the disk refused.
    """
    places = {name: {"saved_offsets": list(share.offsets)} for name, share in shares.items()}
    shapes = {name: list(share.shape) for name, share in shares.items()}
    size, sha256 = write_tensors(
        folder / member.file,
        {name: share.tensor for name, share in shares.items()},
        metadata={"format": "pt", _PLACES: json.dumps(places), _SHAPES: json.dumps(shapes)},
    )
    return FileEntry(size, sha256)


def hand_over(folder: Path, member: Member, entry: FileEntry) -> None:
    """Leaves a note for the first process that the file of this one is whole, and what it is."""
    content = json.dumps({"bytes": entry.bytes, "sha256": entry.sha256}).encode()
    write_atomically(folder / f"{member.file}{_NOTE_SUFFIX}", content)


def give_up(folder: Path, member: Member, why: str) -> None:
    """Leaves a note for the first process that the file of this one will not come."""
    write_atomically(folder / f"{member.file}{_NOTE_SUFFIX}", json.dumps({"error": why}).encode())


def take_over(folder: Path, member: Member, *, wait_s: float = WAIT_S) -> dict[str, FileEntry]:
    """Waits until all others have handed over their files, and gives what they are by name; removes the notes.

    Raises:
        TrainingError: one did not, or not in time.
    """
    give_up_at = time.monotonic() + wait_s
    files: dict[str, FileEntry] = {}
    for rank in range(1, member.size):
        other = Member(rank, member.size, member.token)
        note = folder / f"{other.file}{_NOTE_SUFFIX}"
        # Not asked for by name: of a file that was missing once, NFS says so for up to a minute.
        while note not in folder.iterdir():
            if member.is_over():
                raise TrainingError(
                    f"checkpoint {folder} is left out: rank {rank} had no share of it when training ended"
                )
            if time.monotonic() > give_up_at:
                raise TrainingError(
                    f"rank {rank} has not written its share of checkpoint {folder} within {wait_s:g} s; all processes "
                    "of an experiment must see the same run folder. With `parallelism: {use: fsdp, checkpoints: full}` "
                    "the first one alone writes"
                )
            time.sleep(_POLL_S)
        said = json.loads(note.read_bytes())
        if "error" in said:
            raise TrainingError(f"rank {rank} cannot write its share of checkpoint {folder}: {said['error']}")
        files[other.file] = FileEntry(int(said["bytes"]), str(said["sha256"]))
        note.unlink()
    return files


def shard_files(files: Iterable[str]) -> list[str]:
    """Gives the names of the files with shares among those of a checkpoint, by rank."""
    return sorted(file for file in files if SHARD_FILE.fullmatch(file))


def read_shares(folder: Path, files: Iterable[str], prefix: str, target: Target | None = None) -> dict[str, Tensor]:
    """Reads tensors that are cut, whatever number of processes wrote them; nothing in the files is executed.

    Args:
        folder: the checkpoint, which is verified.
        files: those of its manifest.
        prefix: begins the names of the wanted ones, and is left out of them.
        target: makes what each is read into; None for whole tensors on the CPU.

    Raises:
        TrainingError: a file or a part of a tensor is missing.
    """
    shapes = _shapes(folder, shard_files(files))
    wanted = {name: shape for name, shape in shapes.items() if name.startswith(prefix)}
    if not wanted:
        return {}
    from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    reader = HuggingFaceStorageReader(str(folder))
    metadata = reader.read_metadata()
    make = target or (lambda shape, dtype: torch.empty(shape, dtype=dtype))
    tensors: dict[str, Tensor] = {}
    for name, shape in wanted.items():
        known: Any = metadata.state_dict_metadata[name]
        if sum(math.prod(chunk.sizes) for chunk in known.chunks) != math.prod(shape):
            raise TrainingError(f"checkpoint {folder} has only a part of `{name}`, so it is not loaded")
        tensors[name] = make(shape, known.properties.dtype)
    # Not `load`, which plans together with the other processes, by pickled objects; each needs nothing of the others.
    planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    planner.set_up_planner(dict(tensors), metadata, is_coordinator=True)
    reader.set_up_storage_reader(metadata, is_coordinator=True)
    reader.read_data(planner.create_local_plan(), planner).wait()
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _shapes(folder: Path, files: list[str]) -> dict[str, tuple[int, ...]]:
    """Gives the shapes of all tensors that are cut, after seeing that no file is missing."""
    found: dict[str, tuple[int, ...]] = {}
    for number, file in enumerate(files, 1):
        match = SHARD_FILE.fullmatch(file)
        assert match
        if (int(match[1]), int(match[2])) != (number, len(files)):
            raise TrainingError(f"checkpoint {folder} has {len(files)} of {int(match[2])} shares, so it is not loaded")
        with safe_open(folder / file, framework="pt") as content:
            said = json.loads((content.metadata() or {}).get(_SHAPES, "{}"))
        found |= {name: tuple(shape) for name, shape in said.items()}
    return found
