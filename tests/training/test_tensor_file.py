"""Our files are safetensors files: the library reads every type and shape back, and their hash is right."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mlgym.errors import TrainingError
from mlgym.training import tensor_file
from mlgym.training.tensor_file import write_tensors

_DTYPES = list(tensor_file._DTYPES)


def _bits(tensor: Tensor) -> bytes:
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def _some(dtype: torch.dtype, *shape: int) -> Tensor:
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3
    return numbers.abs().to(dtype) if dtype is not torch.bool else numbers > 0


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
def test_every_type_is_read_by_the_library(tmp_path: Path, dtype: torch.dtype) -> None:
    """Bit for bit, with shapes of no axis, no element and several axes."""
    tensors = {"matrix": _some(dtype, 3, 5), "scalar": _some(dtype), "none": _some(dtype, 0, 4), "one": _some(dtype, 1)}
    write_tensors(tmp_path / "file", tensors)
    found = load_file(tmp_path / "file")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (dtype, tensor.shape)
        assert _bits(found[name]) == _bits(tensor)


def test_all_types_in_one_file(tmp_path: Path) -> None:
    """Types of every width lie side by side without gaps; names are any text."""
    tensors = {f'{place} "{dtype}" ä\n': _some(dtype, 3) for place, dtype in enumerate(_DTYPES)}
    write_tensors(tmp_path / "file", tensors)
    found = load_file(tmp_path / "file")
    assert {name: _bits(tensor) for name, tensor in found.items()} == {n: _bits(t) for n, t in tensors.items()}


@pytest.mark.parametrize("piece_bytes", [1, 7, 2**20])
def test_size_and_hash_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int) -> None:
    """However many pieces it is written in."""
    monkeypatch.setattr(tensor_file, "_PIECE_BYTES", piece_bytes)
    size, sha256 = write_tensors(tmp_path / "file", {"a": torch.arange(10), "b": torch.ones(3)})
    content = (tmp_path / "file").read_bytes()
    assert (size, sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert int(load_file(tmp_path / "file")["a"].sum()) == 45


def test_no_tensors(tmp_path: Path) -> None:
    """An empty file is one too."""
    write_tensors(tmp_path / "file", {})
    assert load_file(tmp_path / "file") == {}


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    """A file that stands is never torn."""
    write_tensors(tmp_path / "file", {"a": torch.ones(1)})
    with pytest.raises(FileExistsError):
        write_tensors(tmp_path / "file", {"a": torch.zeros(1)})
    assert float(load_file(tmp_path / "file")["a"]) == 1.0


def test_a_type_that_the_format_lacks_is_named(tmp_path: Path) -> None:
    """Nothing is converted silently."""
    with pytest.raises(TrainingError, match=r"cannot hold `wave`: safetensors has no torch\.complex128"):
        write_tensors(tmp_path / "file", {"wave": torch.zeros(2, dtype=torch.complex128)})
    assert not (tmp_path / "file").exists()
