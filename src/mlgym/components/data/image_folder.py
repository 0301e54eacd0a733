"""Images in folders, one folder for each class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from mlgym.components.data.file_hashes import SampleFiles
from mlgym.config.registry import register
from mlgym.errors import DataError

_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}
Channels = Literal[1, 3, 4]


@register("image_folder")
class ImageFolder(Dataset[tuple[Tensor, int]]):
    """Images below a folder that has one folder for each class; read when they are asked for.

    A sample is (image, class): float32 (channels, height, width) in [0, 1], and the place of the folder among the
    sorted ones. Samples are sorted by path. Put `in_memory` after it to read each image only once.

    Args:
        root: the folder of the folders.
        image_size: [height, width] in pixels that images are scaled to, each >= 1, or one number for both; without it
            all images must have one size to be put into batches.
        channels: 1 for grey, 3 for red, green, blue, 4 with opacity; images are converted.

    Raises:
        DataError: there is no such folder, no image in it, or the package `pillow` is missing.
    """

    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        root: str,
        image_size: Annotated[int, Field(ge=1)] | tuple[int, int] | None = None,
        *,
        channels: Channels = 3,
    ) -> None:
        _check_pillow()
        self._size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self._mode = _MODES[channels]
        folders = _class_folders(Path(root))
        self.classes = tuple(folder.name for folder in folders)
        files = [(path, label) for label, folder in enumerate(folders) for path in _images(folder)]
        if not files:
            raise DataError(f"{root}: there is no image in its folders ({', '.join(sorted(_SUFFIXES))})")
        self.paths = [path for path, _ in files]
        self.targets = torch.tensor([label for _, label in files], dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Gives (image, class).

        Raises:
            DataError: the file is no image.
        """
        return image_tensor(self._open(self.paths[index])), int(self.targets[index])

    def sample_files(self) -> SampleFiles:
        """Gives the file of each image, for the fingerprint of the data."""
        return SampleFiles(self.paths, one_each=True, read_as=f"image {self._mode} {self._size}")

    def _open(self, path: Path) -> Any:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as image:
                converted = image.convert(self._mode)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise DataError(f"{path}: cannot be read as an image: {error}") from error
        if self._size is None:
            return converted
        height, width = self._size
        return converted.resize((width, height), Image.Resampling.BILINEAR)


def image_tensor(image: Any) -> Tensor:
    """Gives a PIL image as float32 (channels, height, width) in [0, 1]."""
    pixels = np.array(image, dtype=np.float32)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels  # (height, width, channels)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))) / 255


def _check_pillow() -> None:
    try:
        import PIL  # noqa: F401 - only whether it is there
    except ImportError:
        raise DataError("`image_folder` needs the package `pillow`: pip install pillow") from None


def _class_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder (looked for in {Path.cwd()})")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise DataError(f"{root}: there is no folder in it; images lie in one folder for each class")
    return folders


def _images(folder: Path) -> list[Path]:
    found = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."))
