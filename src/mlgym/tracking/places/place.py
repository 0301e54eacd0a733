"""A place beside the run folder where the checkpoints of one run stand: what is asked of every kind of place.

A checkpoint there is a folder of files and a manifest, as in the run folder. The manifest is written last and removed
first, so that one without is none; whoever fetches one compares every file with it.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from mlgym.errors import InvalidNameError, PlaceError
from mlgym.events.durable import fsync_folder
from mlgym.names import safe_name
from mlgym.tracking.manifest import (
    CHECKPOINT_NAME,
    MANIFEST_FILE,
    FileEntry,
    make_checkpoints_folder,
    manifest_bytes,
    publish,
    sha256_of,
)

CHUNK_BYTES: Final = 4 * 2**20


class CheckpointPlace(ABC):
    """Where the checkpoints of one run stand, for one thread at a time.

    Every method raises `PlaceError` where the place cannot be reached or refuses; its `is_damage` says that what stands
    there, or here, is not what its manifest says, so that trying again does not help.

    Attributes:
        address: as it was given, for messages.
        on_bytes: is told of bytes on their way; raises to end what is under way. None for nobody.
    """

    def __init__(self, address: str, run_id: str) -> None:
        self.address = address
        self.run_id = safe_name(run_id, "run id")
        self.on_bytes: Callable[[int], None] | None = None

    @abstractmethod
    def claim(self, *, is_new: bool) -> None:
        """Takes the place for a run, which shows that it can be written to.

        Args:
            is_new: whether nothing of the run may be there yet.

        Raises:
            PlaceError: it cannot be written to, or has another run of the same id.
        """

    @abstractmethod
    def checkpoints(self, experiment_id: int) -> dict[str, dict[str, FileEntry]]:
        """Gives the complete checkpoints of an experiment by name: their files; none where nothing is there yet."""

    @abstractmethod
    def put(
        self, experiment_id: int, name: str, contents: Mapping[str, BinaryIO], files: Mapping[str, FileEntry]
    ) -> None:
        """Sends a checkpoint, of which nothing is visible before all of it is there; replaces another of the name.

        Args:
            experiment_id: whose it is.
            name: of the checkpoint.
            contents: the files by name, seekable.
            files: what its manifest says of them.
        """

    @abstractmethod
    def delete(self, experiment_id: int, name: str) -> None:
        """Removes a checkpoint, or what was sent of one, where there is any."""

    @abstractmethod
    def bring(self, experiment_id: int, name: str, file: str, target: Path, entry: FileEntry) -> None:
        """Writes a file of a checkpoint to `target`; whether it is the right one is looked at elsewhere."""

    def fetch(self, experiment_id: int, name: str, files: Mapping[str, FileEntry], folder: Path) -> Path:
        """Brings a checkpoint and verifies it; it appears in `folder` once all of it is there.

        Args:
            experiment_id: whose it is.
            name: of the checkpoint, as `checkpoints` gave it.
            files: what its manifest says, as `checkpoints` gave it.
            folder: the checkpoints' folder of the experiment; made where missing.

        Returns:
            Where it is.

        Raises:
            PlaceError: it cannot be brought, or is not what its manifest says.
            OSError: the disk here refuses.
        """
        make_checkpoints_folder(folder)
        temporary = folder / f".{checked_name(name)}.{os.getpid()}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            for file, entry in files.items():
                path = temporary / safe_name(file, "file name")
                self.bring(experiment_id, name, file, path, entry)
                actual = sha256_of(path)
                if actual != entry.sha256:
                    raise self.damaged(experiment_id, name, f"`{file}` has sha256 {actual}, expected {entry.sha256}")
            (temporary / MANIFEST_FILE).write_bytes(manifest_bytes(files))
            for path in temporary.iterdir():
                _sync(path)
            fsync_folder(temporary)
            publish(temporary, folder / name)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return folder / name

    def close(self) -> None:  # noqa: B027 - most kinds have none
        """Ends the connection, where there is one."""

    def damaged(self, experiment_id: int, name: str, how: str) -> PlaceError:
        """Gives the error of a checkpoint that is not what its manifest says."""
        return PlaceError(
            f"checkpoint {name} of experiment {experiment_id} at {self.address} does not match its manifest: {how}",
            is_damage=True,
        )

    def tell(self, num_bytes: int) -> None:
        """Tells of bytes on their way."""
        if self.on_bytes is not None:
            self.on_bytes(num_bytes)


def checked_name(name: str) -> str:
    """Gives the name of a checkpoint back.

    Raises:
        InvalidNameError: it is none.
    """
    if not CHECKPOINT_NAME.fullmatch(name):
        raise InvalidNameError(f"{name!r} is no name of a checkpoint")
    return name


def checked_files(files: Mapping[str, FileEntry]) -> dict[str, FileEntry]:
    """Gives the files of a manifest that came from elsewhere; none where one of its names is not allowed."""
    try:
        names = [safe_name(file, "file name") for file in files]
    except InvalidNameError:
        return {}
    return {} if MANIFEST_FILE in names else dict(files)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
