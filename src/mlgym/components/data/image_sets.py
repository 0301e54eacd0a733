"""MNIST, Fashion-MNIST and CIFAR-10, from their published files; nothing is unpickled."""

from __future__ import annotations

import gzip
import math
import os
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mlgym.components.data.download import RemoteFile, RemoteSet, fetch
from mlgym.components.data.tensor_data import TensorData
from mlgym.config.registry import register
from mlgym.errors import DataError

Bytes = npt.NDArray[np.uint8]

# Hashes and sizes are those that TensorFlow Datasets publishes (its `url_checksums`); the authors of Fashion-MNIST and
# CIFAR-10 publish only md5 of the same files.
MNIST: Final = RemoteSet(
    name="mnist",
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9_912_422
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28_881
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1_648_877
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4_542
        ),
    ),
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
)
FASHION_MNIST: Final = RemoteSet(
    name="fashion_mnist",
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", 26_421_880
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29_515
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4_422_102
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5_148
        ),
    ),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    ),
)
CIFAR10: Final = RemoteSet(
    name="cifar10",
    files=(
        RemoteFile(
            "cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170_052_171
        ),
    ),
    mirrors=("https://www.cs.toronto.edu/~kriz", "https://cave.cs.toronto.edu/kriz"),
)

_DIGITS: Final = tuple("0123456789")
_CLOTHES: Final = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_THINGS: Final = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR_FOLDER: Final = "cifar-10-batches-bin"
_CIFAR_RECORD_BYTES: Final = 1 + 3 * 32 * 32
_CIFAR_BATCHES: Final = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_CIFAR_TEST: Final = "test_batch.bin"
_IDX_UBYTE: Final = 8


class TrainAndTest(NamedTuple):
    """A set with its published division.

    Args:
        train: the training samples.
        test: the test samples.
    """

    train: TensorData
    test: TensorData


@register("mnist")
def mnist(
    root: str = "data", *, flat: bool = False, mirrors: list[str] | None = None, download: bool = True
) -> TrainAndTest:
    """Gives 70,000 handwritten digits of 28 x 28 pixels.

    Args:
        root: folder; the files lie in its folder `mnist` and are downloaded (12 MB) where they are not there.
        flat: inputs are (samples, 784) where true, else (samples, 1, 28, 28).
        mirrors: addresses of folders to download from instead of the usual ones.
        download: use the network where files are missing.

    Returns:
        60,000 samples `train` and 10,000 `test`: inputs float32 in [0, 1] (0 is background), targets (samples,) int64
        in [0, 10).

    Raises:
        DataError: files are missing and cannot be downloaded.

    Source: LeCun, Cortes, Burges, The MNIST database of handwritten digits, 1998.
    """
    return load_idx_set(MNIST, Path(root), classes=_DIGITS, flat=flat, mirrors=mirrors, download=download)


@register("fashion_mnist")
def fashion_mnist(
    root: str = "data", *, flat: bool = False, mirrors: list[str] | None = None, download: bool = True
) -> TrainAndTest:
    """Gives 70,000 pictures of clothes of 28 x 28 pixels, harder than the digits they take the place of.

    Args:
        root: folder; the files lie in its folder `fashion_mnist` and are downloaded (31 MB) where they are not there.
        flat: inputs are (samples, 784) where true, else (samples, 1, 28, 28).
        mirrors: addresses of folders to download from instead of the usual ones.
        download: use the network where files are missing.

    Returns:
        60,000 samples `train` and 10,000 `test`: inputs float32 in [0, 1] (0 is background), targets (samples,) int64
        in [0, 10).

    Raises:
        DataError: files are missing and cannot be downloaded.

    Source: Xiao, Rasul, Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms,
        2017.
    """
    return load_idx_set(FASHION_MNIST, Path(root), classes=_CLOTHES, flat=flat, mirrors=mirrors, download=download)


@register("cifar10")
def cifar10(
    root: str = "data", *, flat: bool = False, mirrors: list[str] | None = None, download: bool = True
) -> TrainAndTest:
    """Gives 60,000 colour photographs of ten kinds of things, 32 x 32 pixels.

    Args:
        root: folder; the files lie in its folder `cifar10` and are downloaded (170 MB) where they are not there.
        flat: inputs are (samples, 3072) where true, else (samples, 3, 32, 32), channels red, green, blue.
        mirrors: addresses of folders to download from instead of the usual ones.
        download: use the network where files are missing.

    Returns:
        50,000 samples `train` and 10,000 `test`: inputs float32 in [0, 1] (737 MB together), targets (samples,) int64
        in [0, 10).

    Raises:
        DataError: files are missing and cannot be downloaded.

    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009 (the binary version).
    """
    return load_cifar_set(CIFAR10, Path(root), flat=flat, mirrors=mirrors, download=download)


def load_idx_set(
    remote: RemoteSet,
    root: Path,
    *,
    classes: tuple[str, ...],
    flat: bool = False,
    mirrors: list[str] | None = None,
    download: bool = True,
) -> TrainAndTest:
    """Gives a set of four gzipped IDX files: training images and labels, test images and labels.

    Raises:
        DataError: files are missing and cannot be downloaded, or do not fit each other.
    """
    paths = fetch(remote, root / remote.name, mirrors=mirrors, download=download)
    train_images, train_labels, test_images, test_labels = map(read_idx, paths)
    train = _image_data(train_images[:, None], train_labels, classes, flat=flat)
    return TrainAndTest(train, _image_data(test_images[:, None], test_labels, classes, flat=flat))


def read_idx(path: Path) -> Bytes:
    """Gives the array of a gzipped IDX file of unsigned bytes, in the shape that its header says.

    Raises:
        DataError: it is no such file, or its length does not fit its header.

    Source: the format description of the MNIST page: two zero bytes, type, number of axes, their lengths as
        big-endian 32-bit numbers, data.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is no gzip file: {error}") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, _IDX_UBYTE]):
        raise DataError(f"{path}: is no IDX file of unsigned bytes")
    header_bytes = 4 + 4 * content[3]
    if len(content) < header_bytes:
        raise DataError(f"{path}: ends within its header")
    shape = tuple(np.frombuffer(content[4:header_bytes], dtype=">u4").tolist())
    data = np.frombuffer(content, dtype=np.uint8, offset=header_bytes)
    if data.size != math.prod(shape):
        raise DataError(f"{path}: has {data.size:,} bytes of data, but its header says {shape}")
    return data.reshape(shape)


def load_cifar_set(
    remote: RemoteSet, root: Path, *, flat: bool = False, mirrors: list[str] | None = None, download: bool = True
) -> TrainAndTest:
    """Gives a set in the format of CIFAR-10's binary version.

    Raises:
        DataError: the archive is missing and cannot be downloaded, or has another content.
    """
    folder = root / remote.name
    if not all((folder / _CIFAR_FOLDER / name).is_file() for name in (*_CIFAR_BATCHES, _CIFAR_TEST)):
        (archive,) = fetch(remote, folder, mirrors=mirrors, download=download)
        _unpack(archive, folder / _CIFAR_FOLDER)
    parts = [_read_records(folder / _CIFAR_FOLDER / name) for name in _CIFAR_BATCHES]
    train = np.concatenate(parts)  # (samples, record bytes)
    test = _read_records(folder / _CIFAR_FOLDER / _CIFAR_TEST)
    return TrainAndTest(_cifar_data(train, flat=flat), _cifar_data(test, flat=flat))


def _unpack(archive: Path, folder: Path) -> None:
    """Takes the six known files out of the archive; no path in it decides where anything is written."""
    folder.mkdir(exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for name in (*_CIFAR_BATCHES, _CIFAR_TEST):
                member = tar.extractfile(f"{_CIFAR_FOLDER}/{name}")
                if member is None:
                    raise DataError(f"{archive}: `{name}` is no plain file in it")
                _write(folder / name, member.read())
    except (tarfile.TarError, KeyError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{archive}: cannot be unpacked: {error}") from error


def _write(path: Path, content: bytes) -> None:
    # A name of its own for each process, so that two that unpack at once do not write into one file.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


def _read_records(path: Path) -> Bytes:
    content = np.fromfile(path, dtype=np.uint8)
    if content.size == 0 or content.size % _CIFAR_RECORD_BYTES:
        raise DataError(f"{path}: has {content.size:,} bytes, no multiple of {_CIFAR_RECORD_BYTES}; delete it")
    return content.reshape(-1, _CIFAR_RECORD_BYTES)


def _cifar_data(records: Bytes, *, flat: bool) -> TensorData:
    return _image_data(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0], _THINGS, flat=flat)


def _image_data(images: Bytes, labels: Bytes, classes: tuple[str, ...], *, flat: bool) -> TensorData:
    if labels.size and labels.max() >= len(classes):
        raise DataError(f"labels must be in [0, {len(classes)}), but there is {labels.max()}")
    inputs = _scaled(images)
    targets = torch.from_numpy(labels.astype(np.int64))
    return TensorData(inputs.flatten(1) if flat else inputs, targets, classes=classes)


def _scaled(images: Bytes) -> Tensor:
    # In one go from bytes to float32: a detour over float64 would need three times the memory.
    return torch.from_numpy(np.divide(images, np.float32(255), dtype=np.float32))
