"""What differs between devices and precisions: placing, moving, autocast, gradient scaling. One trainer serves all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal, TypeAlias

import torch
from torch import Tensor, nn

from mlgym.errors import TrainingError

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
"""Number format of forward and backward passes; parameters stay fp32."""

_AUTOCAST_TYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Device:
    """One device with one precision."""

    def __init__(self, name: str, precision: Precision = "fp32") -> None:
        """Opens a device.

        Args:
            name: as torch writes it: `cpu`, `cuda`, `cuda:1`, `mps`.
            precision: `fp16` scales the loss so that small gradients survive.

        Raises:
            TrainingError: torch does not know the device, or the machine does not have it.
        """
        try:
            self.torch_device = torch.device(name)
            torch.empty(0, device=self.torch_device)
            if self.torch_device.type == "cuda" and self.torch_device.index is not None:
                # What asks for `cuda` alone, in users' code and libraries, then means this one too.
                torch.cuda.set_device(self.torch_device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise TrainingError(f"device `{name}` cannot be used: {reason}; `cpu` works everywhere") from None
        self.precision: Precision = precision
        self._autocast: AbstractContextManager[Any] = nullcontext()
        if precision != "fp32":
            self._autocast = torch.autocast(self.torch_device.type, dtype=_AUTOCAST_TYPES[precision])

    def place(self, module: nn.Module) -> None:
        """Moves the parameters and buffers of `module` here; the parameters stay the same objects."""
        module.to(self.torch_device)

    def mover(self) -> Callable[[Any], Any] | None:
        """Gives a function that moves a batch here, or None where batches are here already."""
        if self.torch_device.type == "cpu":
            return None
        return self._move

    def _move(self, batch: Any) -> Any:
        if isinstance(batch, Tensor):
            return batch.to(self.torch_device, non_blocking=True)
        if isinstance(batch, Mapping):
            return {key: self._move(value) for key, value in batch.items()}
        if isinstance(batch, tuple) and hasattr(batch, "_fields"):
            return type(batch)(*map(self._move, batch))
        if isinstance(batch, (tuple, list)):
            return type(batch)(map(self._move, batch))
        return batch

    def autocast(self) -> AbstractContextManager[Any]:
        """Gives the context in which forward passes run."""
        return self._autocast

    def scaler(self) -> torch.amp.GradScaler | None:
        """Gives a loss scaler of its own to each optimizer at fp16, None else."""
        return torch.amp.GradScaler(self.torch_device.type) if self.precision == "fp16" else None
