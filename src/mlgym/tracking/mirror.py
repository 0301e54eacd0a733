"""A run on a hub kept like the one here; the way back is in `pull`.

What the hub has of the log always covers its checkpoints: they are listed first, then the events are sent, then the
checkpoints. Whoever goes on from the hub can so repeat nothing differently from what others have seen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeAlias

from mlgym.errors import EventLogError, HubError
from mlgym.events import CheckpointDeleted, CheckpointSaved, decode
from mlgym.events.codec import read_origin
from mlgym.names import SAFE_NAME
from mlgym.tracking.artifacts import ARTIFACT_NAME
from mlgym.tracking.histories import refuse_other_history
from mlgym.tracking.hub_client import HubClient, HubListing
from mlgym.tracking.log_cursor import LogCursor
from mlgym.tracking.manifest import CHECKPOINT_NAME, MANIFEST_FILE, FileEntry, read_manifest, sha256_of
from mlgym.tracking.portable import portable
from mlgym.tracking.run_folder import RunFolder

_Key: TypeAlias = tuple[int, str]
"""Experiment, and name of the folder."""
Kind: TypeAlias = Literal["checkpoints", "artifacts"]
"""What folders below an experiment hold."""
CHECKPOINTS: Final = "checkpoints"
ARTIFACTS: Final = "artifacts"
NAMES: Final[dict[Kind, re.Pattern[str]]] = {CHECKPOINTS: CHECKPOINT_NAME, ARTIFACTS: ARTIFACT_NAME}
"""How these folders are called."""
FILE_SUFFIXES: Final = (".yml", ".yaml", ".json")
"""Of the configs and records of a run."""
_GROUP_BYTES: Final = 4 * 2**20
_ABOUT_CHECKPOINTS: Final = (b'{"event_type":"checkpoint_saved"', b'{"event_type":"checkpoint_deleted"')


@dataclass(slots=True)
class Pushed:
    """What a push has changed on the hub.

    Args:
        num_files: configs and records that were sent.
        num_events: events that the hub did not have.
        num_checkpoints: checkpoints that were sent.
        num_deleted: checkpoints that the run has deleted and the hub now, too.
        num_bytes: that were sent.
        num_artifacts: figures, texts and files that were sent.
        damaged: checkpoints and artifacts that do not match their manifests and were left out, relative to the run
            folder.
    """

    num_files: int = 0
    num_events: int = 0
    num_checkpoints: int = 0
    num_deleted: int = 0
    num_bytes: int = 0
    num_artifacts: int = 0
    damaged: tuple[str, ...] = ()


class Mirror:
    """A run on a hub; remembers between pushes what the hub has, so that each costs only what is new.

    Args:
        folder: the run here.
        client: the hub; only the mirror uses it.
        with_checkpoints: whether checkpoints are sent, and those that the run deletes are deleted there.
    """

    def __init__(self, folder: RunFolder, client: HubClient, *, with_checkpoints: bool = True) -> None:
        self._with_checkpoints = with_checkpoints
        self._folder = folder
        self._client = client
        self._files: dict[str, FileEntry] | None = None
        self._stamps: dict[str, tuple[int, int]] = {}
        self._there: dict[Kind, dict[_Key, dict[str, FileEntry]]] = {}
        self._cursor = LogCursor()
        self._is_prefix = False
        self._deleted: set[_Key] = set()
        self._damaged: set[tuple[Kind, _Key]] = set()

    def push(self) -> Pushed:
        """Sends what the hub lacks, and removes there what the run has deleted.

        Raises:
            HubError: the hub does not answer or refuses, or has another history of the run; what it has got by then it
                keeps.
            EventLogError: the log here cannot be read.
        """
        before = self._client.bytes_sent
        pushed = Pushed()
        try:
            if self._files is None:
                self._refuse_other_history()
            checkpoints = self._here(CHECKPOINTS) if self._with_checkpoints else {}
            pushed.num_files = self._push_files()
            pushed.num_events = self._push_events()
            pushed.num_checkpoints = self._push_folders(CHECKPOINTS, checkpoints)
            pushed.num_deleted = self._push_deletions() if self._with_checkpoints else 0
            pushed.num_artifacts = self._push_folders(ARTIFACTS, self._here(ARTIFACTS))
        except HubError:
            # It may be another hub by the next time, or the same one after a restore.
            self._files = None
            self._there.clear()
            self._stamps.clear()
            self._cursor = LogCursor()
            raise
        pushed.num_bytes = self._client.bytes_sent - before
        pushed.damaged = tuple(f"{number}/{kind}/{name}" for kind, (number, name) in sorted(self._damaged))
        return pushed

    def _refuse_other_history(self) -> None:
        head = self._client.head(self._folder.run_id)
        try:
            with self._folder.log_path.open("rb") as file:
                if head is not None and not LogCursor().advance(file, head.num_events, head.last_crc):
                    refuse_other_history(self._folder, self._client)
        except OSError as error:
            raise _unreadable(self._folder, error) from error

    def _push_files(self) -> int:
        if self._files is None:
            self._files = self._client.files(self._folder.run_id)
        num_sent = 0
        for name, path in _files_of(self._folder):
            try:
                status = path.stat()
                stamp = (status.st_mtime_ns, status.st_size)
                if self._stamps.get(name) == stamp:
                    continue
                known = self._files.get(name)
                if known is None or known.bytes != stamp[1] or known.sha256 != sha256_of(path):
                    self._client.put_file(self._folder.run_id, name, path.read_bytes())
                    num_sent += 1
            except FileNotFoundError:
                continue
            self._stamps[name] = stamp
        return num_sent

    def _push_events(self) -> int:
        num_stored = 0
        try:
            with self._folder.log_path.open("rb") as file:
                self._locate(file)
                while group := self._cursor.group(file, max_bytes=_GROUP_BYTES):
                    stored = self._send(group)
                    if stored is None:
                        self._locate(file)
                        continue
                    for line in group:
                        self._note(line)
                    num_stored += stored
                    self._cursor.take(group)
        except OSError as error:
            raise _unreadable(self._folder, error) from error
        return num_stored

    def _locate(self, file: BinaryIO) -> None:
        """Goes to where the log of the hub ends, if it is the beginning of the one here; it may have come by a socket.

        Else all of it is sent once: the hub leaves out what it has.
        """
        size = os.fstat(file.fileno()).st_size
        is_known = self._cursor.position > 0 and self._cursor.stands(file)
        if is_known and (size == self._cursor.position or not self._is_prefix):
            return
        head = self._client.head(self._folder.run_id)
        there = (head.num_events, head.last_crc) if head else (0, None)
        self._is_prefix = is_known and self._cursor.advance(file, *there, self._note)
        if not self._is_prefix:
            self._deleted.clear()
            self._cursor = LogCursor()
            self._is_prefix = self._cursor.advance(file, *there, self._note)
            if not self._is_prefix:
                refuse_other_history(self._folder, self._client)

    def _send(self, group: list[bytes]) -> int | None:
        """Sends events and gives how many the hub did not have; None where its log does not end before them."""
        lines = b"".join(map(portable, group))
        if not self._is_prefix and any(read_origin(line) is None for line in group):
            raise HubError(other_log_text(self._folder.run_id, self._client.url))
        start = self._cursor.num_events if self._is_prefix else None
        try:
            return self._client.send_events(self._folder.run_id, lines, start=start)
        except HubError as error:
            if error.code != "offset_mismatch":
                raise
            return None

    def _note(self, line: bytes) -> None:
        """Remembers which checkpoints the run has deleted."""
        if not line.startswith(_ABOUT_CHECKPOINTS):
            return
        event = decode(line)
        experiment, _, rest = str(event["payload"].get("path")).partition("/checkpoints/")
        if not experiment.isdecimal() or not CHECKPOINT_NAME.fullmatch(rest):
            return
        if event["event_type"] == CheckpointDeleted.event_type:
            self._deleted.add((int(experiment), rest))
        elif event["event_type"] == CheckpointSaved.event_type:
            self._deleted.discard((int(experiment), rest))

    def _here(self, kind: Kind) -> dict[_Key, tuple[Path, dict[str, FileEntry]]]:
        found = {}
        for experiment_id in _experiments_of(self._folder):
            parent = self._folder.experiment_dir(experiment_id) / kind
            for path in sorted(parent.iterdir()) if parent.is_dir() else ():
                files = read_manifest(path / MANIFEST_FILE) if NAMES[kind].fullmatch(path.name) else {}
                if files:
                    found[experiment_id, path.name] = (path, files)
        return found

    def _push_folders(self, kind: Kind, here: dict[_Key, tuple[Path, dict[str, FileEntry]]]) -> int:
        run_id, num_sent = self._folder.run_id, 0
        there = self._listed(kind)
        for key, (path, files) in here.items():
            if there.get(key) == files or (kind, key) in self._damaged:
                continue
            try:
                self._client.send_folder(run_id, key[0], path, files)
            except FileNotFoundError:
                # The run has deleted it meanwhile.
                if kind == CHECKPOINTS:
                    self._client.delete_checkpoint(run_id, *key)
                there.pop(key, None)
                continue
            except HubError as error:
                if error.code != "mismatch":
                    raise
                self._damaged.add((kind, key))
                continue
            there[key] = files
            num_sent += 1
        return num_sent

    def _push_deletions(self) -> int:
        there = self._listed(CHECKPOINTS)
        gone = [key for key in there if key in self._deleted and not self._stands(key)]
        for key in gone:
            self._client.delete_checkpoint(self._folder.run_id, *key)
            del there[key]
        return len(gone)

    def _stands(self, key: _Key) -> bool:
        return (self._folder.checkpoints_dir(key[0]) / key[1]).exists()

    def _listed(self, kind: Kind) -> dict[_Key, dict[str, FileEntry]]:
        if kind not in self._there:
            self._there[kind] = {
                (one.experiment_id, one.name): one.files for one in listed_on(self._client, kind, self._folder.run_id)
            }
        return self._there[kind]


def _unreadable(folder: RunFolder, error: OSError) -> EventLogError:
    return EventLogError(f"`{folder.log_path}` cannot be read: {error.strerror}")


def listed_on(client: HubClient, kind: Kind, run_id: str) -> list[HubListing]:
    """Gives the complete folders of a kind that a hub has of a run."""
    return client.checkpoints(run_id) if kind == CHECKPOINTS else client.artifacts(run_id)


def push(folder: RunFolder, client: HubClient) -> Pushed:
    """Sends to a hub what it lacks of a run; may be interrupted and repeated. See `Mirror.push`."""
    return Mirror(folder, client).push()


def other_log_text(run_id: str, url: str) -> str:
    """Says why events cannot be sent to a hub whose log of the run differs from the one here."""
    return (
        f"the log of run `{run_id}` on {url} is another one than the one here, whose events say not who made them, so "
        "that they would be stored twice: delete one of the two"
    )


def _experiments_of(folder: RunFolder) -> list[int]:
    return sorted(
        int(each.name)
        for each in os.scandir(folder.path)
        if each.name.isdecimal() and each.name.isascii() and each.is_dir(follow_symlinks=False)
    )


def _files_of(folder: RunFolder) -> Iterator[tuple[str, Path]]:
    for parent, prefix in [(folder.path, ""), *((folder.path / str(n), f"{n}/") for n in _experiments_of(folder))]:
        for each in sorted(os.scandir(parent), key=lambda entry: entry.name):
            if SAFE_NAME.fullmatch(each.name) and each.name.endswith(FILE_SUFFIXES) and each.is_file():
                yield prefix + each.name, Path(each.path)
