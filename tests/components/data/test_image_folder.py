"""Images in folders, one folder for each class."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from mlgym.components.data import ImageFolder, in_memory, labels_of
from mlgym.errors import DataError

Image = pytest.importorskip("PIL.Image", reason="`image_folder` needs pillow")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for label, colour in (("cat", (255, 0, 0)), ("dog", (0, 255, 0))):
        for number in (2, 10, 1):
            path = tmp_path / label / f"deep/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (6, 4), colour).save(path)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_samples(root: Path) -> None:
    """Folders are classes, files are sorted by path, pixels are in [0, 1] with channels first."""
    data = ImageFolder(str(root))
    assert data.classes == ("cat", "dog")
    assert [path.name for path in data.paths] == ["1.png", "10.png", "2.png"] * 2
    assert labels_of(data).tolist() == [0, 0, 0, 1, 1, 1]
    image, label = data[5]
    assert (image.shape, image.dtype, label) == ((3, 4, 6), torch.float32, 1)
    assert image[:, 0, 0].tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("size", "channels", "shape"), [(5, 1, (1, 5, 5)), ((2, 3), 4, (4, 2, 3)), (None, 3, (3, 4, 6))]
)
def test_size_and_channels(
    root: Path, size: int | tuple[int, int] | None, channels: Literal[1, 3, 4], shape: tuple[int, ...]
) -> None:
    """Images are scaled to [height, width] and converted."""
    assert ImageFolder(str(root), size, channels=channels)[0][0].shape == shape


def test_files_are_read_when_asked_for(root: Path) -> None:
    """A file that is no image is named when its sample is read, and only then."""
    (root / "cat" / "broken.png").write_bytes(b"no image")
    data = ImageFolder(str(root))
    assert len(data) == 7
    with pytest.raises(DataError, match=r"cat/broken\.png: cannot be read as an image"):
        data[0]


def test_in_memory(root: Path) -> None:
    """All images become one tensor."""
    inputs: Any = in_memory(ImageFolder(str(root)), seed=0).inputs
    assert inputs.shape == (6, 3, 4, 6)


def test_what_is_no_folder_of_images(tmp_path: Path) -> None:
    """No folder, no classes, no image: each is said."""
    with pytest.raises(DataError, match="no such folder"):
        ImageFolder(str(tmp_path / "none"))
    with pytest.raises(DataError, match="one folder for each class"):
        ImageFolder(str(tmp_path))
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="no image in its folders"):
        ImageFolder(str(tmp_path))


def test_missing_package(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pillow, the error says what to install."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match="pip install pillow"):
        ImageFolder(str(root))
