"""What a hub keeps: files of runs in the layout that `mlgym run` writes, addressed by names that are checked.

No method touches anything outside the run that it is asked about.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlgym.errors import InvalidNameError, RunError
from mlgym.names import LOG_FILE, SAFE_NAME, safe_name
from mlgym.server.open_logs import LogHead, OpenLogs
from mlgym.server.refusal import not_found
from mlgym.server.tokens import check_asker
from mlgym.tracking import LATEST, RunFolder, create_run_folder, write_atomically
from mlgym.tracking.artifacts import ARTIFACT_NAME, ARTIFACTS
from mlgym.tracking.manifest import (
    CHECKPOINT_NAME,
    MANIFEST_FILE,
    FileEntry,
    make_checkpoints_folder,
    read_manifest,
    remove_checkpoint,
    sha256_of,
)

EXPERIMENT_ID: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_FILE_SUFFIXES: Final = (".yml", ".yaml", ".json")
_OF_EPOCH: Final = re.compile(r"epoch_(\d+)(?:-step_(\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Listing:
    """A complete checkpoint or artifact.

    Args:
        experiment_id: whose it is.
        name: such as `epoch_3-step_120`, or `confusion.3` of an artifact.
        files: size and hash of each file, without the manifest.
    """

    experiment_id: int
    name: str
    files: dict[str, FileEntry]


class HubStore:
    """The runs in a storage folder.

    Attributes:
        logs: the logs that are open to write.
        storage: the folder of all runs.
    """

    def __init__(self, storage: Path) -> None:
        self.logs = OpenLogs()
        self.storage = storage.absolute()

    def folder(self, run_id: str) -> RunFolder:
        """Gives where a run is or would be; every path in a run begins here.

        Raises:
            InvalidNameError: it can be no run id.
            RefusedError: the token of whoever asks is for another run.
        """
        if safe_name(run_id, "run id") == LATEST:
            raise InvalidNameError(f"run id `{LATEST}` is reserved")
        check_asker(run_id)
        return RunFolder(self.storage, run_id)

    def run(self, run_id: str) -> RunFolder:
        """Gives a run.

        Raises:
            InvalidNameError: it can be no run id.
            RefusedError: there is no such run.
        """
        folder = self.folder(run_id)
        if not folder.log_path.is_file() or folder.path.is_symlink() or folder.log_path.is_symlink():
            raise not_found(f"there is no run `{run_id}`")
        return folder

    def make_run(self, run_id: str) -> RunFolder:
        """Gives a run, making it where it is missing.

        Raises:
            InvalidNameError: it can be no run id.
            RunError: the disk refused.
        """
        folder = self.folder(run_id)
        if not folder.log_path.exists():
            try:
                return create_run_folder(self.storage, run_id)
            except RunError:
                # Another request was faster, or was cut off before the log was there.
                if not folder.path.is_dir() or folder.path.is_symlink():
                    raise
                folder.log_path.touch()
        return self.run(run_id)

    def head(self, run_id: str) -> LogHead:
        """Gives what stands in the log of a run."""
        return self.logs.head(self.run(run_id).log_path)

    def files(self, run_id: str) -> Iterator[tuple[str, FileEntry]]:
        """Yields the configs and records of a run and its experiments: path within the run, size and hash."""
        folder = self.run(run_id)
        for entry in sorted(os.scandir(folder.path), key=lambda each: each.name):
            if entry.is_dir(follow_symlinks=False) and EXPERIMENT_ID.fullmatch(entry.name):
                below = sorted(os.scandir(entry.path), key=lambda each: each.name)
                yield from (_described(each, f"{entry.name}/{each.name}") for each in below if _is_kept(each))
            elif _is_kept(entry):
                yield _described(entry, entry.name)

    def file(self, run_id: str, name: str) -> Path:
        """Gives where a config or record of a run is.

        Args:
            run_id: the run.
            name: `run_config.yml` or `0/experiment_config.json`.

        Raises:
            InvalidNameError: it can be no such name.
            RefusedError: it is missing.
        """
        return _existing(self._inside(self.run(run_id), _file_parts(name)), f"run `{run_id}` has no `{name}`")

    def put_file(self, run_id: str, name: str, data: bytes) -> None:
        """Writes a config or record of a run, whole or not at all; makes the run where it is missing.

        Raises:
            InvalidNameError: it can be no such name.
            OSError: the disk refused.
        """
        parts = _file_parts(name)
        path = self._inside(self.make_run(run_id), parts)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, data)

    def experiments(self, run_id: str) -> list[int]:
        """Gives the numbers of the experiments that have a folder."""
        names = [each.name for each in os.scandir(self.run(run_id).path) if each.is_dir(follow_symlinks=False)]
        return sorted(int(name) for name in names if EXPERIMENT_ID.fullmatch(name))

    def checkpoints(self, run_id: str) -> Iterator[Listing]:
        """Yields the complete checkpoints of a run."""
        return self._listings(run_id, "checkpoints", CHECKPOINT_NAME)

    def artifacts(self, run_id: str) -> Iterator[Listing]:
        """Yields the complete artifacts of a run."""
        return self._listings(run_id, ARTIFACTS, ARTIFACT_NAME)

    def _listings(self, run_id: str, kind: str, form: re.Pattern[str]) -> Iterator[Listing]:
        folder = self.run(run_id)
        for experiment_id in self.experiments(run_id):
            for path in _folders(self._inside(folder, [str(experiment_id), kind])):
                files = read_manifest(path / MANIFEST_FILE) if form.fullmatch(path.name) else {}
                if files and all(SAFE_NAME.fullmatch(file) for file in files):
                    yield Listing(experiment_id, path.name, files)

    def checkpoint_file(self, run_id: str, experiment: str, name: str, file: str) -> Path:
        """Gives where a file of a checkpoint is.

        Raises:
            InvalidNameError: a name is not allowed.
            RefusedError: it is missing.
        """
        path = self.checkpoint_dir(self.run(run_id), experiment, name) / safe_name(file, "file name")
        return _existing(path, f"checkpoint `{name}` has no `{file}`")

    def artifact_file(self, run_id: str, experiment: str, name: str, file: str) -> Path:
        """Gives where a file of an artifact is.

        Raises:
            InvalidNameError: a name is not allowed.
            RefusedError: it is missing.
        """
        if not ARTIFACT_NAME.fullmatch(name):
            raise InvalidNameError(f"artifact name {name!r} is not allowed: expected `NAME.VERSION`")
        path = self.upload_dir(self.run(run_id), experiment, name) / safe_name(file, "file name")
        return _existing(path, f"artifact `{name}` has no `{file}`")

    def upload_dir(self, folder: RunFolder, experiment: str, name: str) -> Path:
        """Gives the folder of a checkpoint or, where the name is none of a checkpoint, of an artifact.

        Raises:
            InvalidNameError: a name is not allowed.
        """
        if ARTIFACT_NAME.fullmatch(name):
            return self._inside(folder, [_number(experiment, "experiment id"), ARTIFACTS, safe_name(name)])
        return self.checkpoint_dir(folder, experiment, name)

    def checkpoint_dir(self, folder: RunFolder, experiment: str, name: str) -> Path:
        """Gives the folder of a checkpoint; it need not exist.

        Raises:
            InvalidNameError: a name is not allowed.
        """
        if not CHECKPOINT_NAME.fullmatch(name):
            raise InvalidNameError(f"checkpoint name {name!r} is not allowed: expected `epoch_E-step_S`")
        return self._inside(folder, [_number(experiment, "experiment id"), "checkpoints", safe_name(name)])

    def delete_checkpoint(self, run_id: str, experiment: str, name: str) -> bool:
        """Removes a checkpoint and tells whether it was there."""
        return remove_checkpoint(self.checkpoint_dir(self.run(run_id), experiment, name))

    def epochs(self, run_id: str, experiment: str) -> dict[int, list[Path]]:
        """Gives the folders of checkpoints by their epoch, those of older clients first, then by step."""
        folder = self.folder(run_id)
        parent = self._inside(folder, [_number(experiment, "experiment id"), "checkpoints"])
        found: dict[int, list[tuple[int, Path]]] = {}
        for path in _folders(parent):
            match = _OF_EPOCH.fullmatch(path.name)
            if match and (match[2] is None or (path / MANIFEST_FILE).is_file()):
                found.setdefault(int(match[1]), []).append((int(match[2] or -1), path))
        return {epoch: [path for _, path in sorted(paths)] for epoch, paths in sorted(found.items())}

    def epoch_dir(self, run_id: str, experiment: str, epoch: str) -> Path:
        """Gives the folder, made where missing, of the files that an older client sends for an epoch."""
        numbers = _number(experiment, "experiment id"), _number(epoch, "epoch")
        path = self._inside(self.make_run(run_id), [numbers[0], "checkpoints", f"epoch_{numbers[1]}"])
        make_checkpoints_folder(path.parent)
        path.mkdir(exist_ok=True)
        return path

    def _inside(self, folder: RunFolder, parts: list[str]) -> Path:
        path = folder.path.joinpath(*parts)
        if folder.path.is_symlink() or not path.resolve().is_relative_to(folder.path.resolve()):
            raise InvalidNameError("a symbolic link leads out of the run")
        return path


def number(text: str, what: str) -> int:
    """Gives the number that a part of a path stands for.

    Raises:
        InvalidNameError: it is none.
    """
    return int(_number(text, what))


def _number(text: str, what: str) -> str:
    if not EXPERIMENT_ID.fullmatch(text):
        raise InvalidNameError(f"{what} {text!r} is not allowed: expected a number such as 0 or 12")
    return text


def _file_parts(name: str) -> list[str]:
    *above, last = name.split("/")
    if len(above) > 1:
        raise InvalidNameError(f"file name {name!r} is not allowed: expected `NAME` or `EXPERIMENT/NAME`")
    if not safe_name(last, "file name").endswith(_FILE_SUFFIXES):
        raise InvalidNameError(f"file name {last!r} is not allowed: it must end in {', '.join(_FILE_SUFFIXES)}")
    return [*(_number(each, "experiment id") for each in above), last]


def _is_kept(entry: os.DirEntry[str]) -> bool:
    is_named_so = SAFE_NAME.fullmatch(entry.name) and entry.name.endswith(_FILE_SUFFIXES)
    return bool(is_named_so) and entry.name != LOG_FILE and entry.is_file(follow_symlinks=False)


def _described(entry: os.DirEntry[str], name: str) -> tuple[str, FileEntry]:
    return name, FileEntry(entry.stat().st_size, sha256_of(Path(entry.path)))


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(Path(each.path) for each in os.scandir(parent) if each.is_dir(follow_symlinks=False))


def _existing(path: Path, message: str) -> Path:
    if path.is_symlink() or not path.is_file():
        raise not_found(message)
    return path
