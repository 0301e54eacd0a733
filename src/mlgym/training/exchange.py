"""What the processes of a group say to each other: states in pieces of JSON and tensors, never pickled objects."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

import safetensors.torch
import torch
from torch import Tensor, distributed
from torch.distributed import ReduceOp

from mlgym.training.state_codec import flatten, restore

_LENGTH_BYTES: Final = 8
_MAX_BYTES: Final = 25 * 2**20


def packed(state: Any) -> Tensor:
    """Gives a nested state, as `flatten` takes it, as uint8 (bytes,) on the host."""
    plain, tensors = flatten(state)
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    content = json.dumps(plain).encode()
    whole = len(content).to_bytes(_LENGTH_BYTES, "little") + content + safetensors.torch.save(ready)
    return torch.frombuffer(bytearray(whole), dtype=torch.uint8)


def unpacked(content: Tensor) -> Any:
    """Gives the state behind `packed`."""
    whole = content.numpy().tobytes()
    stop = _LENGTH_BYTES + int.from_bytes(whole[:_LENGTH_BYTES], "little")
    return restore(json.loads(whole[_LENGTH_BYTES:stop]), safetensors.torch.load(whole[stop:]))


def told_by_main(state: Any) -> Any:
    """Gives all processes the state of rank 0; what the others bring is not looked at."""
    is_main = distributed.get_rank() == 0
    content = packed(state) if is_main else torch.empty(0, dtype=torch.uint8)
    length = torch.tensor(len(content))
    distributed.broadcast(length, src=0)
    if not is_main:
        content = torch.empty(int(length), dtype=torch.uint8)
    distributed.broadcast(content, src=0)
    return state if is_main else unpacked(content)


def give_to_all(tensors: Sequence[Tensor]) -> None:
    """Overwrites tensors of any shape and dtype, on the devices of the group, with what rank 0 has; many at a time."""
    for device in dict.fromkeys(tensor.device for tensor in tensors):
        pending, num_bytes = [], 0
        for tensor in tensors:
            if tensor.device == device:
                pending.append(tensor.detach())
                num_bytes += tensor.numel() * tensor.element_size()
            if num_bytes >= _MAX_BYTES:
                _give(pending)
                pending, num_bytes = [], 0
        if pending:
            _give(pending)


def _give(tensors: Sequence[Tensor]) -> None:
    pieces = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in tensors]
    content = torch.cat(pieces)
    distributed.broadcast(content, src=0)
    if distributed.get_rank() != 0:
        for tensor, piece in zip(tensors, content.split([len(piece) for piece in pieces]), strict=True):
            tensor.copy_(piece.clone().view(tensor.dtype).reshape(tensor.shape))


def told_to_main(content: Tensor) -> tuple[list[Tensor], int]:
    """Gives rank 0 what each process packed, in the order of their ranks; the others get nothing.

    Args:
        content: uint8 (bytes,), not equally many everywhere.

    Returns:
        The contents, and how many bytes the longest has, which all learn.
    """
    size, is_main = distributed.get_world_size(), distributed.get_rank() == 0
    lengths = [torch.tensor(0) for _ in range(size)]
    distributed.all_gather(lengths, torch.tensor(len(content)))
    longest = max(int(length) for length in lengths)
    padded = torch.nn.functional.pad(content, (0, longest - len(content)))
    received = [torch.empty(longest, dtype=torch.uint8) for _ in range(size)] if is_main else None
    distributed.gather(padded, received, dst=0)
    if received is None:
        return [], longest
    return [each[: int(length)] for each, length in zip(received, lengths, strict=True)], longest


def largest(*numbers: int) -> list[int]:
    """Gives for each of these numbers the largest that any process has."""
    values = torch.tensor(numbers, dtype=torch.int64)
    distributed.all_reduce(values, op=ReduceOp.MAX)
    return values.tolist()


def all_rows(values: Tensor) -> Tensor:
    """Gives what each process has, (processes, ...), to all of them; shapes and dtypes are alike, all on the host."""
    content = values.contiguous().reshape(-1).view(torch.uint8)  # not every library knows every dtype
    received = [torch.empty_like(content) for _ in range(distributed.get_world_size())]
    distributed.all_gather(received, content)
    return torch.stack(received).view(values.dtype).reshape(-1, *values.shape)


def to_each_its_own(values: Tensor) -> tuple[Tensor, distributed.Work | None]:
    """Begins to give each process its piece of what all of them have.

    Args:
        values: (numbers,), as many everywhere; cut into as many equal pieces as there are processes.

    Returns:
        (processes, piece): this one's piece as each has it, once the work is done; the work, None where it is.
    """
    size = distributed.get_world_size()
    short = -len(values) % size
    ready = torch.nn.functional.pad(values, (0, short)) if short else values
    received = torch.empty_like(ready)
    work = distributed.all_to_all_single(received, ready, async_op=True)
    return received.view(size, math.ceil(len(values) / size)), work


def summed_in_order(pieces: Tensor, num_ranks: int) -> Tensor:
    """Gives the sum of the first `num_ranks` rows of (processes, piece), one added after the other.

    Floating-point sums depend on their order, which a collective chooses by number and size of what it sums.
    """
    total = pieces[0].clone()
    for piece in pieces[1:num_ranks]:
        total += piece
    return total
