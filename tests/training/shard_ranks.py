"""What each of several processes does in the tests of checkpoints in shares: `python -m tests.training.shard_ranks`.

`reshard FOLDER`: four ranks write checkpoints in groups of one and two, and read each in groups of one, two and four.
`die FOLDER`: for each of `POINTS` two ranks write a checkpoint, and lose the second one at that point of the next.
Ranks are forked from a process that has imported everything.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
import torch._dynamo  # optimizers import it, each rank for itself if nobody did before
import torch.distributed.checkpoint
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, empty

from mlgym.training import checkpoint
from mlgym.training.checkpoint import CheckpointContent, is_sharded, list_checkpoints, read_checkpoint
from mlgym.training.checkpoint_shards import Member
from mlgym.training.checkpoint_writer import CheckpointWriter
from mlgym.training.model_state import weights_of
from mlgym.training.state_codec import flatten, restore

POINTS: Final = ("before", "after", "unprotected")
"""Before the second rank writes its share; before it hands it over; the same where the first one does not wait."""


def trained(mesh: DeviceMesh, steps: int) -> tuple[nn.Module, torch.optim.Adam]:
    """Gives a model in shares, some of which are empty, and its optimizer after some steps."""
    torch.manual_seed(steps)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 6)).square().mean().backward()
        optimizer.step()
    return model, optimizer


def whole(state: Any) -> Any:
    """Gives a nested state with whole tensors."""
    if isinstance(state, DTensor):
        return state.full_tensor().detach().clone()
    if isinstance(state, dict):
        return {key: whole(part) for key, part in state.items()}
    return [whole(part) for part in state] if isinstance(state, list) else state


def same(first: Any, second: Any) -> bool:
    """Tells whether two nested states are equal to the bit."""
    if isinstance(first, Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(part, second[key]) for key, part in first.items())
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def save(writer: CheckpointWriter, epoch: int, model: nn.Module, optimizer: torch.optim.Adam) -> None:
    plain, tensors = flatten({"optimizer": optimizer.state_dict()})
    writer.save(CheckpointContent(epoch, epoch, weights_of(model), tensors, plain), ("all",), ())
    writer.wait()


def reshard(folder: Path) -> None:
    """See the module; every rank checks what it reads."""
    rank = distributed.get_rank()
    meshes = {size: DeviceMesh("cpu", list(range(size))) for size in (1, 2, 4)}
    for written_by in (1, 2):
        own = folder / str(written_by)
        if rank < written_by:
            model, optimizer = trained(meshes[written_by], 3)
            save(CheckpointWriter(own, member=Member(rank, written_by, 7)), 3, model, optimizer)
            expected = whole({"model": weights_of(model), "optimizer": optimizer.state_dict()})
            if rank == 0:
                torch.save(expected, own / "expected.pt")
        distributed.barrier()
        expected = torch.load(own / "expected.pt", weights_only=True)
        (stored,) = list_checkpoints(own)
        assert is_sharded(stored)
        content = read_checkpoint(stored)
        assert same({"model": dict(content.model), **restore(content.state, content.tensors)}, expected), "whole"
        for size, mesh in meshes.items():
            if rank < size:
                check(stored, mesh, expected)
        distributed.barrier()


def check(stored: checkpoint.StoredCheckpoint, mesh: DeviceMesh, expected: dict[str, Any]) -> None:
    """Reads a checkpoint into a model that was trained otherwise, and compares what it goes on from."""

    def share(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        made: Tensor = empty(*shape, dtype=dtype, device_mesh=mesh, placements=[Shard(0)])
        return made

    content = read_checkpoint(stored, share)
    model, optimizer = trained(mesh, 1)
    assert not same(whole(weights_of(model)), expected["model"])
    model.load_state_dict(dict(content.model))
    optimizer.load_state_dict(restore(content.state, content.tensors)["optimizer"])
    found = whole({"model": weights_of(model), "optimizer": optimizer.state_dict()})
    assert same(found, expected), f"{mesh.size()} ranks read something else"


def die(folder: Path, point: str) -> None:
    """See the module; whoever started the ranks ends the first one, but where it does not wait for the second."""
    rank = distributed.get_rank()
    mesh = DeviceMesh("cpu", [0, 1])
    writer = CheckpointWriter(folder, member=Member(rank, 2, 7))
    save(writer, 1, *trained(mesh, 1))
    model, optimizer = trained(mesh, 2)
    distributed.barrier()
    if rank == 1:
        name = "write_shard" if point == "before" else "hand_over"
        vars(checkpoint)[name] = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
    elif point == "unprotected":
        vars(checkpoint)["take_over"] = lambda folder, member: {}
    save(writer, 2, model, optimizer)


def forked(rank: int, size: int, store: Path, work: Callable[[], None]) -> int:
    """Starts a rank; gives its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        torch.set_num_threads(1)
        distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def main() -> int:
    task, folder = sys.argv[1], Path(sys.argv[2])
    if task == "reshard":
        ranks = [forked(rank, 4, folder / "store", partial(reshard, folder)) for rank in range(4)]
        return max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in ranks)
    for point in POINTS:
        own = folder / point
        first, second = (forked(rank, 2, folder / f"{point}.store", partial(die, own, point)) for rank in range(2))
        assert os.waitstatus_to_exitcode(os.waitpid(second, 0)[1]) == -signal.SIGKILL
        if point != "unprotected":
            # It has written everything of its own, and waits.
            while not list(own.glob(".epoch_2*/shard-00001*")):
                time.sleep(0.01)
            time.sleep(0.2)
            os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
