"""Checkpoints at a hub: its REST service verifies every hash before a checkpoint appears there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mlgym.errors import HubError, PlaceError
from mlgym.names import safe_name
from mlgym.tracking.hub_client import HubClient
from mlgym.tracking.manifest import CHECKPOINT_NAME, FileEntry
from mlgym.tracking.places.place import CheckpointPlace, checked_files, checked_name


class HubPlace(CheckpointPlace):
    """A place at a hub; see `CheckpointPlace`."""

    def __init__(
        self, url: str, run_id: str, *, patience_s: float = 10.0, goes_on: Callable[[], bool] = lambda: True
    ) -> None:
        """Makes a client; connects when it is used.

        Args:
            url: the hub.
            run_id: the run.
            patience_s: how long the hub is asked again while it does not answer, in s.
            goes_on: asked between requests; once it says False, what is under way ends.

        Raises:
            HubError: this is no address of a hub.
        """
        super().__init__(url, run_id)
        self._client = HubClient(url, patience_s=patience_s, goes_on=goes_on)
        self._client.on_bytes = self.tell

    def claim(self, *, is_new: bool) -> None:
        """See `CheckpointPlace.claim`."""
        with self._asking():
            if self._client.checkpoints(self.run_id) and is_new:
                raise PlaceError(
                    f"the hub {self.address} has checkpoints of a run `{self.run_id}` already: choose another id with "
                    "--run-id"
                )

    def checkpoints(self, experiment_id: int) -> dict[str, dict[str, FileEntry]]:
        """See `CheckpointPlace.checkpoints`."""
        with self._asking():
            listed = self._client.checkpoints(self.run_id)
        own = [one for one in listed if one.experiment_id == experiment_id and CHECKPOINT_NAME.fullmatch(one.name)]
        return {one.name: files for one in own if (files := checked_files(one.files))}

    def put(
        self, experiment_id: int, name: str, contents: Mapping[str, BinaryIO], files: Mapping[str, FileEntry]
    ) -> None:
        """See `CheckpointPlace.put`."""
        with self._asking():
            self._client.send_files(self.run_id, experiment_id, checked_name(name), contents, files)

    def delete(self, experiment_id: int, name: str) -> None:
        """See `CheckpointPlace.delete`."""
        with self._asking():
            self._client.delete_checkpoint(self.run_id, experiment_id, checked_name(name))

    def bring(self, experiment_id: int, name: str, file: str, target: Path, entry: FileEntry) -> None:
        """See `CheckpointPlace.bring`."""
        path = f"runs/{self.run_id}/checkpoints/{experiment_id}/{checked_name(name)}/{safe_name(file, 'file name')}"
        with self._asking():
            self._client.download(path, target, entry)

    def close(self) -> None:
        """See `CheckpointPlace.close`."""
        self._client.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except HubError as error:
            raise PlaceError(str(error), is_damage=error.code == "mismatch") from error
