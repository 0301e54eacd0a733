"""MNIST, Fashion-MNIST and CIFAR-10 from small files of the same formats."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mlgym.components.data import cifar10, fashion_mnist, image_sets, mnist
from mlgym.components.data.image_sets import CIFAR10, FASHION_MNIST, MNIST, read_idx
from mlgym.errors import DataError
from tests.components.data.loopback_mirror import Mirror, serving
from tests.components.data.published import idx, remote_of

RNG = np.random.default_rng(0)


IMAGES = [RNG.integers(0, 256, (count, 28, 28)) for count in (30, 12)]
LABELS = [RNG.integers(0, 10, count) for count in (30, 12)]


def idx_files() -> dict[str, bytes]:
    arrays = (IMAGES[0], LABELS[0], IMAGES[1], LABELS[1])
    return {file.name: idx(array) for file, array in zip(MNIST.files, arrays, strict=True)}


@pytest.mark.parametrize(("make", "constant"), [(mnist, "MNIST"), (fashion_mnist, "FASHION_MNIST")])
def test_idx_sets(make: Any, constant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four files become two splits of images in [0, 1] with their labels; a second time nothing is downloaded."""
    with serving(Mirror(idx_files())) as mirror:
        name = getattr(image_sets, constant).name
        monkeypatch.setattr(image_sets, constant, remote_of(name, idx_files(), mirror.address))
        data = make(str(tmp_path))
    again = make(str(tmp_path), flat=True)
    for split, images, labels in zip(data, IMAGES, LABELS, strict=True):
        assert (split.inputs.shape, split.inputs.dtype) == ((len(images), 1, 28, 28), torch.float32)
        assert torch.equal(split.inputs[:, 0], torch.from_numpy(images).float() / 255)
        assert split.targets.tolist() == labels.tolist()
        assert len(split.classes) == 10
    assert again.train.inputs.shape == (30, 784)
    assert (tmp_path / name).is_dir()


def test_published_files() -> None:
    """The tables have four, four and one file with hashes of 64 digits and at least two mirrors each."""
    for remote, count in ((MNIST, 4), (FASHION_MNIST, 4), (CIFAR10, 1)):
        assert len(remote.files) == len({file.sha256 for file in remote.files}) == count
        assert all(len(bytes.fromhex(file.sha256)) == 32 for file in remote.files)
        assert len(remote.mirrors) >= 2


@pytest.mark.parametrize("make", [mnist, fashion_mnist, cifar10])
def test_offline(make: Any, tmp_path: Path) -> None:
    """Without a network and without files, the error names the set and the folder."""
    with pytest.raises(DataError, match=rf"`{make.__name__}` cannot be loaded(.|\n)*{tmp_path / make.__name__}"):
        make(str(tmp_path), download=False)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"no gzip", "no gzip file"),
        (gzip.compress(b"\0\0\x0d\1\0\0\0\1\0"), "no IDX file of unsigned bytes"),
        (gzip.compress(b"\0\0\x08\1\0\0\0\2\0"), r"header says \(2,\)"),
        (gzip.compress(b"\0\0\x08\3\0\0"), "ends within its header"),
        (gzip.compress(b"\0\0"), "no IDX file"),
        (idx(RNG.integers(0, 9, 100))[:-12], "no gzip file"),
    ],
    ids=["text", "floats", "short", "header", "empty", "torn"],
)
def test_broken_idx_files(content: bytes, text: str, tmp_path: Path) -> None:
    """A file of another format, type or length is refused by name."""
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=text):
        read_idx(path)


def cifar_archive(names: list[str] | None = None, *, kind: bytes = tarfile.REGTYPE) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        for number, name in enumerate(names or [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
            records = np.concatenate([np.full((4, 1), number), np.arange(4 * 3072).reshape(4, -1) % 256], axis=1)
            content = records.astype(np.uint8).tobytes()
            member = tarfile.TarInfo(name if "/" in name else f"cifar-10-batches-bin/{name}")
            member.type = kind
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            member.linkname = "/etc/passwd"
            tar.addfile(member, io.BytesIO(content))
    return memory.getvalue()


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six files of an archive become two splits; channels, rows and columns are in place; the archive is read once."""
    files = {CIFAR10.files[0].name: cifar_archive()}
    with serving(Mirror(files)) as mirror:
        monkeypatch.setattr(image_sets, "CIFAR10", remote_of("cifar10", files, mirror.address))
        data: Any = cifar10(str(tmp_path))
    assert data.train.inputs.shape == (20, 3, 32, 32)
    assert data.train.targets.tolist() == [label for label in range(5) for _ in range(4)]
    assert data.test.targets.tolist() == [5] * 4
    assert float(data.train.inputs[0, 1, 2, 3]) == pytest.approx(((1024 + 2 * 32 + 3) % 256) / 255)
    (tmp_path / "cifar10" / CIFAR10.files[0].name).unlink()
    flat: Any = cifar10(str(tmp_path), flat=True).train.inputs
    assert flat.shape == (20, 3072)


@pytest.mark.parametrize(
    "archive",
    [
        cifar_archive(["../../escaped.bin", "/tmp/escaped.bin"]),
        cifar_archive(kind=tarfile.SYMTYPE),
        b"no archive",
        cifar_archive()[:-200],
    ],
    ids=["traversal", "links", "garbage", "torn"],
)
def test_bad_archives(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive with other members, links or garbage is refused; nothing is written outside the folder."""
    files = {CIFAR10.files[0].name: archive}
    with serving(Mirror(files)) as mirror:
        monkeypatch.setattr(image_sets, "CIFAR10", remote_of("cifar10", files, mirror.address))
        with pytest.raises(DataError):
            cifar10(str(tmp_path / "a" / "b"))
    assert not list(tmp_path.rglob("*escaped*"))
    assert not Path("/tmp/escaped.bin").exists()


def test_unpacked_file_of_a_wrong_length(tmp_path: Path) -> None:
    """A file that was cut off is named, with what to do."""
    folder = tmp_path / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"):
        (folder / name).write_bytes(b"123")
    with pytest.raises(DataError, match="no multiple of 3073; delete it"):
        cifar10(str(tmp_path))


def test_label_without_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that has no class is refused."""
    files = {**idx_files(), MNIST.files[1].name: idx(np.full(30, 11))}
    with serving(Mirror(files)) as mirror:
        monkeypatch.setattr(image_sets, "MNIST", remote_of("mnist", files, mirror.address))
        with pytest.raises(DataError, match=r"in \[0, 10\), but there is 11"):
            mnist(str(tmp_path))
