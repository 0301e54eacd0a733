"""Checkpoints behind a URL, through `fsspec`: an object store, a shared folder, whatever it has a filesystem for.

The folders are those of a storage folder: `URL/RUN_ID/0/checkpoints/epoch_3-step_120/manifest.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

from mlgym.errors import MlgymError, PlaceError
from mlgym.events.durable import fsync_folder
from mlgym.names import safe_name
from mlgym.tracking.atomic import write_atomically
from mlgym.tracking.manifest import CHECKPOINT_NAME, MANIFEST_FILE, FileEntry, manifest_bytes, parse_manifest
from mlgym.tracking.places.place import CHUNK_BYTES, CheckpointPlace, checked_files, checked_name

CLAIM_FILE: Final = "claim.json"
_MAX_MANIFEST_BYTES: Final = 2**20
_LOCAL: Final = ("file", "local")
_FLAT: Final = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory")
"""Stores without folders; making one may make a bucket, which nobody asked for."""
_PACKAGES: Final = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs",
    "oss": "ossfs", "sftp": "paramiko", "ssh": "paramiko", "hdfs": "pyarrow", "smb": "smbprotocol",
}  # fmt: skip


class UrlPlace(CheckpointPlace):
    """A place behind a URL of `fsspec`; see `CheckpointPlace`."""

    def __init__(self, url: str, run_id: str) -> None:
        """Opens the filesystem; says nothing to it yet.

        Args:
            url: such as `s3://bucket/prefix`, `gs://bucket`, `file:///mnt/shared/checkpoints`.
            run_id: the run.

        Raises:
            PlaceError: there is no such filesystem, or its package is missing.
        """
        super().__init__(url, run_id)
        self._fs, root = _filesystem(url)
        self._is_local = _protocol(url) in _LOCAL
        self._is_flat = _protocol(url) in _FLAT
        self._root = f"{root.rstrip('/')}/{self.run_id}"

    def claim(self, *, is_new: bool) -> None:
        """See `CheckpointPlace.claim`."""
        path = f"{self._root}/{CLAIM_FILE}"
        with self._asking("be written to"):
            if is_new and self._names(self._root):
                raise PlaceError(
                    f"{self.address} has a run `{self.run_id}` already: name another place, or another id with --run-id"
                )
            content = json.dumps({"run_id": self.run_id, "claimed_at": time.time(), "by": os.uname().nodename}).encode()
            self._make_folder(self._root)
            self._fs.pipe_file(path, content)
            if self._fs.cat_file(path) != content:
                raise PlaceError(f"{self.address} does not give back what was written there")

    def checkpoints(self, experiment_id: int) -> dict[str, dict[str, FileEntry]]:
        """See `CheckpointPlace.checkpoints`."""
        parent = self._parent(experiment_id)
        with self._asking("be listed"):
            names = [name for name in self._names(parent) if CHECKPOINT_NAME.fullmatch(name)]
            # What is longer is no manifest, and is cut so that it cannot be read as one.
            manifests = {
                name: self._content(f"{parent}/{name}/{MANIFEST_FILE}", _MAX_MANIFEST_BYTES) for name in sorted(names)
            }
        listed = {name: checked_files(parse_manifest(content)) for name, content in manifests.items() if content}
        return {name: files for name, files in listed.items() if files}

    def put(
        self, experiment_id: int, name: str, contents: Mapping[str, BinaryIO], files: Mapping[str, FileEntry]
    ) -> None:
        """See `CheckpointPlace.put`; every file is read back and hashed before the manifest is written."""
        folder = self._folder(experiment_id, name)
        manifest = manifest_bytes(files)
        with self._asking("be written to"):
            there = self._content(f"{folder}/{MANIFEST_FILE}")
            if there is not None and there != manifest:
                self._fs.rm_file(f"{folder}/{MANIFEST_FILE}")
            self._make_folder(folder)
            for file, entry in files.items():
                path = f"{folder}/{safe_name(file, 'file name')}"
                # What an attempt before this one sent may be whole.
                if not self._is(path, entry):
                    self._send(path, contents[file])
                    if not self._is(path, entry):
                        raise self.damaged(experiment_id, name, f"`{file}` is not there as it was sent")
            self._publish(folder, manifest)

    def delete(self, experiment_id: int, name: str) -> None:
        """See `CheckpointPlace.delete`."""
        folder = self._folder(experiment_id, name)
        with self._asking("be written to"):
            with suppress(FileNotFoundError):
                self._fs.rm_file(f"{folder}/{MANIFEST_FILE}")
            with suppress(FileNotFoundError):
                self._fs.rm(folder, recursive=True)

    def bring(self, experiment_id: int, name: str, file: str, target: Path, entry: FileEntry) -> None:
        """See `CheckpointPlace.bring`."""
        path = f"{self._folder(experiment_id, name)}/{safe_name(file, 'file name')}"
        with self._asking("be read"):
            try:
                with self._fs.open(path, "rb") as source, target.open("wb") as here:
                    for chunk in self._chunks(source):
                        here.write(chunk)
                        if here.tell() > entry.bytes:
                            break
            except FileNotFoundError:
                raise self.damaged(experiment_id, name, f"`{file}` is missing") from None

    def _parent(self, experiment_id: int) -> str:
        return f"{self._root}/{int(experiment_id)}/checkpoints"

    def _folder(self, experiment_id: int, name: str) -> str:
        return f"{self._parent(experiment_id)}/{checked_name(name)}"

    def _names(self, folder: str) -> list[str]:
        self._fs.invalidate_cache()
        try:
            return [path.rstrip("/").rpartition("/")[2] for path in self._fs.ls(folder, detail=False)]
        except FileNotFoundError:
            return []

    def _content(self, path: str, max_bytes: int | None = None) -> bytes | None:
        try:
            content: bytes = self._fs.cat_file(path, end=max_bytes)
        except FileNotFoundError:
            return None
        return content

    def _make_folder(self, folder: str) -> None:
        if not self._is_flat:
            self._fs.makedirs(folder, exist_ok=True)

    def _send(self, path: str, content: BinaryIO) -> None:
        content.seek(0)
        with self._fs.open(path, "wb") as target:
            for chunk in self._chunks(content):
                target.write(chunk)
            if self._is_local:
                target.flush()
                os.fsync(target.fileno())

    def _is(self, path: str, entry: FileEntry) -> bool:
        """Tells whether a file there is what it should be, by reading all of it where it has the right size."""
        self._fs.invalidate_cache()
        try:
            if self._fs.size(path) != entry.bytes:
                return False
            hasher = hashlib.sha256()
            with self._fs.open(path, "rb") as file:
                for chunk in self._chunks(file):
                    hasher.update(chunk)
        except FileNotFoundError:
            return False
        return hasher.hexdigest() == entry.sha256

    def _chunks(self, file: Any) -> Iterator[bytes]:
        while chunk := file.read(CHUNK_BYTES):
            self.tell(len(chunk))
            yield chunk

    def _publish(self, folder: str, manifest: bytes) -> None:
        path = f"{folder}/{MANIFEST_FILE}"
        if self._is_local:
            fsync_folder(Path(folder))
            write_atomically(Path(path), manifest)
            fsync_folder(Path(folder).parent)
            return
        self._fs.pipe_file(path, manifest)
        if self._content(path) != manifest:
            raise PlaceError(f"{self.address} does not give back the manifest that was written there")

    def _asking(self, what: str) -> _Asking:
        return _Asking(f"{self.address} cannot {what}")


class _Asking:
    """Makes one error of whatever a filesystem raises: each has exceptions of its own."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, MlgymError):
            detail = str(error).partition("\n")[0] or type(error).__name__
            if isinstance(error, FileNotFoundError):  # stores say no more than an address of their own
                detail = f"it is not there, and buckets are not made ({detail})"
            raise PlaceError(f"{self._what}: {detail}") from error


def check_url(url: str) -> None:
    """Checks a URL as far as that goes without asking anybody.

    Raises:
        PlaceError: it is none, has a password in it, or needs a package that is missing.
    """
    _filesystem(url)


def local_path(url: str) -> Path | None:
    """Gives the folder behind a URL; None where it is not on this machine."""
    if _protocol(url) not in _LOCAL:
        return None
    return Path(_filesystem(url)[1])


def _protocol(url: str) -> str:
    return url.partition("://")[0].lower()


def _filesystem(url: str) -> tuple[Any, str]:
    protocol, separator, rest = url.partition("://")
    if not separator or not rest.strip("/") or "::" in url:
        raise PlaceError(
            f"`{url}` is no place for checkpoints: name one such as s3://BUCKET/PREFIX, gs://BUCKET, file:///FOLDER, "
            "or `hub`"
        )
    if urlsplit(url).password is not None:
        raise PlaceError(
            f"the place for checkpoints has a password in its URL ({protocol}://...), which would be written into the "
            "run's records: give it in the environment, as the package of that filesystem says"
        )
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise PlaceError(f"checkpoints at {url} need the package `fsspec`: pip install 'mlgym[remote]'") from error
    try:
        # A cached instance would be shared with other threads, and its connections with forked processes.
        filesystem, root = url_to_fs(url, skip_instance_cache=True)
    except ImportError as error:
        raise PlaceError(f"checkpoints at {url} need {_missing_text(protocol.lower(), error)}") from error
    except Exception as error:
        raise PlaceError(f"`{url}` is no place for checkpoints: {error}") from error
    return filesystem, str(root)


def _missing_text(protocol: str, error: ImportError) -> str:
    package, cause = _PACKAGES.get(protocol), error.__cause__
    if package is not None and isinstance(cause, ImportError) and cause.name not in (None, package):
        return f"`{package}`, which is installed and cannot be imported: {cause}"
    return f"a package that is not installed: {f'pip install {package}' if package else error}"
