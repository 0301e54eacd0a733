"""A run brought from a hub: all of it, or what the hub has beyond the folder here."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlgym.errors import HubError, InvalidNameError, LogInUseError, RunError
from mlgym.events import EventLog
from mlgym.events.durable import fsync_folder
from mlgym.events.writer_mark import is_written_from_here, unmark_writer
from mlgym.names import LOG_FILE, safe_name
from mlgym.tracking.histories import end_of_log, refuse_other_history
from mlgym.tracking.hub_client import HubClient, HubListing, RunHead
from mlgym.tracking.log_cursor import LogCursor
from mlgym.tracking.manifest import (
    MANIFEST_FILE,
    FileEntry,
    manifest_bytes,
    read_manifest,
    remove_checkpoint,
    sha256_of,
)
from mlgym.tracking.mirror import ARTIFACTS, CHECKPOINTS, FILE_SUFFIXES, NAMES, Kind, listed_on
from mlgym.tracking.portable import body_of, portable
from mlgym.tracking.run_folder import RunFolder

_ATTEMPTS: Final = 3
_GROUP_EVENTS: Final = 1000
# Whatever trains tells of its progress and its load more often than this.
_WATCH_S: Final = 8.0
# A hub lets go of a connection whose other end has vanished within 45 s.
_WATCH_SENDER_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.25


def pull(run_id: str, storage: Path, client: HubClient) -> RunFolder:
    """Brings a run from a hub: its configs, checkpoints and log, each verified.

    It appears in the storage folder once all of it is there; a pull that was cut off goes on with what it had.

    Args:
        run_id: the whole id.
        storage: the folder of all runs; made where missing.
        client: the hub.

    Raises:
        InvalidNameError: the text can be no run id.
        HubError: the hub does not answer, does not have the run, or sends what does not match its own hashes.
        RunError: the run is here already, or somebody else brings it.
    """
    folder = RunFolder(storage, safe_name(run_id, "run id"))
    if folder.path.exists():
        raise RunError(f"run `{run_id}` is in `{storage}` already")
    if client.head(run_id) is None:
        raise HubError(f"the hub {client.url} has no run `{run_id}`", status=404, code="not_found")
    temporary = storage / f".{run_id}.pull"
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        with _held(temporary, run_id):
            for step in (_pull_folders, _pull_files, _pull_log):
                _again(step, run_id, temporary, client)
            temporary.rename(folder.path)
        fsync_folder(storage)
    except OSError as error:
        raise RunError(f"run `{run_id}` cannot be brought to `{storage}`: {error.strerror or error}") from error
    return folder


@dataclass(slots=True)
class CaughtUp:
    """What was brought of a run that is here already.

    Args:
        num_events: events that the log here did not have.
        num_files: configs and records that were other ones, or missing.
        num_checkpoints: checkpoints that were missing.
        num_artifacts: figures, texts and files that were missing.
    """

    num_events: int = 0
    num_files: int = 0
    num_checkpoints: int = 0
    num_artifacts: int = 0


def catch_up(
    folder: RunFolder, client: HubClient, *, with_checkpoints: bool = True, while_it_goes_on: bool = False
) -> CaughtUp:
    """Brings what a hub has of a run beyond what is here, so that it has one history wherever it goes on.

    Nothing comes where the hub has no more. Events come last: what was cut off is asked for again the next time.

    Args:
        folder: the run here.
        client: the hub.
        with_checkpoints: whether checkpoints are brought, too.
        while_it_goes_on: whether a run that goes on elsewhere is brought, too, as far as it is there; to be looked at.

    Raises:
        HubError: the hub does not answer, or sends what does not match its own hashes; or the run went on there and
            here.
        RunError: it still goes on, or the folder here cannot be written.
        EventLogError: the log here cannot be read or written.
    """
    head = client.head(folder.run_id)
    try:
        if head is None or not head.num_events:
            return CaughtUp()
        is_ahead = _is_ahead(folder, head, client)
        # Who wrote the log here, and nobody else, knows by its lock whether the run goes on.
        is_foreign = is_ahead or not is_written_from_here(folder.log_path)
        if is_foreign and not while_it_goes_on and _goes_on(folder.run_id, head, client):
            raise RunError(
                f"run `{folder.run_id}` goes on elsewhere: the hub {client.url} hears of it. Wait until it has ended, "
                "or end it there"
            )
        if not is_ahead:
            return CaughtUp()
        with EventLog.open(folder.log_path) as log:
            brought = CaughtUp()
            for kind in (CHECKPOINTS, ARTIFACTS) if with_checkpoints else (ARTIFACTS,):
                num_brought = _bring_folders(folder, client, kind)
                setattr(brought, f"num_{kind}", num_brought)
            brought.num_files = _bring_files(folder, client)
            brought.num_events = _bring_events(folder.run_id, client, log)
        # It is a copy: whoever wrote what came may go on elsewhere.
        unmark_writer(folder.log_path)
        return brought
    except LogInUseError as error:
        raise RunError(f"run `{folder.run_id}` goes on, in {error.writer}: wait until that has ended") from error
    except OSError as error:
        raise RunError(f"`{folder.path}` cannot be brought up to date: {error.strerror or error}") from error


def caught_up_text(brought: CaughtUp) -> str:
    """Gives what was brought in a line."""
    return (
        f"{brought.num_events} events, {brought.num_files} configs and records, {brought.num_checkpoints} checkpoints, "
        f"{brought.num_artifacts} artifacts"
    )


def refuse_more_events(folder: RunFolder, url: str) -> None:
    """Refuses a websocket service that has more events of a run than are here, which it cannot give back.

    Raises:
        RunError: it has.
        HubError: it does not answer.
    """
    # The libraries for it take a tenth of a second.
    from mlgym.tracking.hub_socket import HubSocket

    with HubSocket(url) as hub:
        head = hub.head(folder.run_id)
    num_here = end_of_log(folder.log_path)[0] if folder.log_path.is_file() else 0
    if head.num_events > num_here:
        raise RunError(
            f"the hub {url} has {head.num_events - num_here} events of run `{folder.run_id}` that are not here: it "
            "went on elsewhere, or the folder here is an older copy. Name the hub's REST service, too "
            "(--rest-endpoint), and they are brought first"
        )


def _goes_on(run_id: str, head: RunHead, client: HubClient) -> bool:
    """Tells whether a run goes on; one that was killed a moment ago looks so, but nothing more comes of it.

    One whose driver is connected goes on however silent it is, unless the hub has not noticed yet that it is gone.
    """
    began_at, now = time.monotonic(), head
    while head.is_live and time.monotonic() < began_at + (_WATCH_SENDER_S if now.has_sender else _WATCH_S):
        time.sleep(_LOOK_EVERY_S)
        now = client.head(run_id) or head
        if now.num_events > head.num_events:
            return True
    return head.is_live and now.has_sender


def _is_ahead(folder: RunFolder, head: RunHead, client: HubClient) -> bool:
    """Tells whether the log of the hub is the one here and more.

    Raises:
        HubError: somebody went on with the run there, and somebody else here.
    """
    with folder.log_path.open("rb") as file:
        if LogCursor().advance(file, head.num_events, head.last_crc):
            return False
    num_here, last = end_of_log(folder.log_path)
    if num_here < head.num_events:
        with closing(client.event_lines(folder.run_id, max(0, num_here - 1))) as lines:
            if not last or next(lines, b"") == portable(last):
                return True
    refuse_other_history(folder, client)
    return False


def _bring_folders(folder: RunFolder, client: HubClient, kind: Kind) -> int:
    num_brought = 0
    for one in listed_on(client, kind, folder.run_id):
        path = folder.inside(f"{one.experiment_id}/{kind}") / one.name
        if NAMES[kind].fullmatch(one.name) and path.exists():
            if read_manifest(path / MANIFEST_FILE) == one.files:
                continue
            remove_checkpoint(path)
        _pull_folder(folder.run_id, folder.path, client, kind, one)
        num_brought += 1
    return num_brought


def _bring_files(folder: RunFolder, client: HubClient) -> int:
    num_brought = 0
    for name, entry in client.files(folder.run_id).items():
        path = folder.inside(name)
        if not path.is_file() or sha256_of(path) != entry.sha256:
            _pull_file(folder.run_id, folder.path, client, name, entry)
            num_brought += 1
    return num_brought


def _bring_events(run_id: str, client: HubClient, log: EventLog) -> int:
    num_before = log.num_events
    group: list[bytes] = []
    for line in client.event_lines(run_id, num_before):
        group.append(body_of(line))
        if len(group) == _GROUP_EVENTS:
            log.append(group)
            group = []
    log.append(group)
    return log.num_events - num_before


@contextmanager
def _held(folder: Path, run_id: str) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"run `{run_id}` is being brought from a hub by another process already") from None
        yield
    finally:
        os.close(descriptor)


def _again(step: Callable[[str, Path, HubClient], None], run_id: str, target: Path, client: HubClient) -> None:
    """Takes a step again where the hub changed what it listed, or was cut off, in the middle of it."""
    for is_last in (*[False] * (_ATTEMPTS - 1), True):
        try:
            step(run_id, target, client)
        except HubError as error:
            if error.code not in ("not_found", "mismatch", "cut_off") or is_last:
                raise
        else:
            return


def _pull_folders(run_id: str, target: Path, client: HubClient) -> None:
    listed = {kind: listed_on(client, kind, run_id) for kind in NAMES}
    for kind, ones in listed.items():
        for one in ones:
            _pull_folder(run_id, target, client, kind, one)
    _forget_others(target, {(str(one.experiment_id), kind, one.name) for kind, ones in listed.items() for one in ones})


def _pull_folder(run_id: str, target: Path, client: HubClient, kind: Kind, one: HubListing) -> None:
    if one.experiment_id < 0 or not NAMES[kind].fullmatch(one.name) or MANIFEST_FILE in one.files:
        raise InvalidNameError(
            f"the hub {client.url} lists {one.name!r} of experiment {one.experiment_id} among its {kind}"
        )
    folder = target / str(one.experiment_id) / kind / one.name
    folder.mkdir(parents=True, exist_ok=True)
    base = f"runs/{run_id}/{kind}/{one.experiment_id}/{one.name}"
    for file, entry in one.files.items():
        client.download(f"{base}/{safe_name(file, 'file name')}", folder / file, entry)
    (folder / MANIFEST_FILE).write_bytes(manifest_bytes(one.files))
    for path in folder.iterdir():
        _sync(path)
    fsync_folder(folder)


def _forget_others(target: Path, wanted: set[tuple[str, str, str]]) -> None:
    """Removes what an earlier attempt brought and the hub has deleted since."""
    for kind in NAMES:
        for path in target.glob(f"*/{kind}/*"):
            if (path.parent.parent.name, kind, path.name) not in wanted:
                shutil.rmtree(path)


def _pull_files(run_id: str, target: Path, client: HubClient) -> None:
    for name, entry in client.files(run_id).items():
        _pull_file(run_id, target, client, name, entry)


def _pull_file(run_id: str, target: Path, client: HubClient, name: str, entry: FileEntry) -> None:
    parts = [safe_name(part, "file name") for part in name.split("/")]
    path = target.joinpath(*parts)
    if len(parts) > 2 or not name.endswith(FILE_SUFFIXES):
        raise InvalidNameError(f"the hub {client.url} lists a file {name!r}")
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.pull")
    # What an earlier attempt brought may be older than what the hub has now.
    temporary.unlink(missing_ok=True)
    client.download(f"runs/{run_id}/files/{name}", temporary, entry)
    _sync(temporary)
    temporary.replace(path)


def _pull_log(run_id: str, target: Path, client: HubClient) -> None:
    with (target / LOG_FILE).open("wb") as file:
        file.writelines(client.event_lines(run_id))
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
