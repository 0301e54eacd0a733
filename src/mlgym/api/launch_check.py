"""What must hold before a run is started, so that its experiments do not all fail for one reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlgym.errors import RunError


def check_launch(*, devices: Sequence[str], text_logging_path: Path | None) -> None:
    """Checks what no experiment could do anything about.

    Args:
        devices: as given.
        text_logging_path: folder for text logs; None for none.

    Raises:
        RunError: something is wrong; the text says what to change.
    """
    for device in devices:
        _check_device(device)
    if text_logging_path is not None and text_logging_path.exists() and not text_logging_path.is_dir():
        raise RunError(f"no text logs can be written to `{text_logging_path}`: it is a file; name a folder")


def _check_device(name: str) -> None:
    # Torch is there already: checking the config imported the components.
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        raise RunError(f"there is no device `{name}`; devices are named `cpu`, `cuda` or `cuda:1`") from None
    if device.type != "cuda":
        return
    # Counting asks the driver and leaves CUDA uninitialised; this process may still be forked.
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        raise RunError(
            f"device `{name}` is not there: PyTorch finds {count or 'no'} CUDA devices; `cpu` works everywhere"
        )
