"""One history for each run: whether a hub knows of somebody at a run whom the log here does not know, and what then.

A run that goes on in two places at once, or from an older copy of its folder, has two histories. In one log they could
not be told apart, so none is added to the other.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Final

from mlgym.errors import HubError
from mlgym.events import decode
from mlgym.events.scan import whole_lines
from mlgym.names import DEFAULT_STORAGE
from mlgym.tracking.hub_client import HubClient
from mlgym.tracking.portable import line_crc, portable
from mlgym.tracking.run_folder import RunFolder

OTHER_HISTORY: Final = "other_history"
"""Code of the error for a hub that has another history of a run."""
_BEGINNINGS: Final = (b'{"event_type":"run_started"', b'{"event_type":"run_resumed"')


def refuse_other_history(folder: RunFolder, client: HubClient) -> None:
    """Refuses a hub where somebody began or went on with a run, and the log here does not know it.

    Events that merely came or went on the way, as from a disk that was full, are none of its business.

    Raises:
        HubError: there is somebody, with the code `OTHER_HISTORY`; or the hub does not answer.
        OSError: the log here cannot be read.
    """
    num_here, last_here = end_of_log(folder.log_path)
    there: list[bytes] = []
    is_older = not num_here
    for number, line in enumerate(client.event_lines(folder.run_id)):
        is_older = is_older or (number == num_here - 1 and line == portable(last_here))
        if line.startswith(_BEGINNINGS):
            there.append(line)
    # The log here may have grown meanwhile, and what the hub has may come from there.
    with folder.log_path.open("rb") as file:
        here = {line_crc(line) for line in whole_lines(file) if line.startswith(_BEGINNINGS)}
    strange = [line for line in there if line_crc(line) not in here]
    if strange:
        tell = _more_there_text if is_older else _two_histories_text
        raise HubError(tell(folder, client.url, _moment(strange[-1])), code=OTHER_HISTORY)


def end_of_log(path: Path) -> tuple[int, bytes]:
    """Gives how many events a log has, and the last line.

    Raises:
        OSError: it cannot be read.
    """
    number, last = 0, b""
    with path.open("rb") as file:
        for line in whole_lines(file):
            number, last = number + 1, line
    return number, last


def _more_there_text(folder: RunFolder, url: str, when: str) -> str:
    brings = f"`{_sync_command(folder, url)}` brings it"
    return f"the hub {url} has more of run `{folder.run_id}` than the folder here: it went on at {when}. {brings}"


def _two_histories_text(folder: RunFolder, url: str, when: str) -> str:
    brings = f"bring it by `{_sync_command(folder, url)}`"
    return (
        f"run `{folder.run_id}` went on in two ways, here and on the hub {url}, there at {when}: one log cannot have "
        f"both. To keep what the hub has, move `{folder.path}` away and {brings}; to keep what is here, delete the run "
        "on the hub first"
    )


def _sync_command(folder: RunFolder, url: str) -> str:
    is_usual = folder.storage.absolute() == Path(DEFAULT_STORAGE).absolute()
    where = "" if is_usual else f" --storage {shlex.quote(str(folder.storage))}"
    return f"mlgym sync {folder.run_id} --from {url}{where}"


def failure_text(error: Exception, remedy: str) -> str:
    """Says of a run that goes on that a hub does not get it.

    Args:
        error: why; one of two histories says itself what to do.
        remedy: what to do about any other.
    """
    is_other = isinstance(error, HubError) and error.code == OTHER_HISTORY
    return f"{error}; the run goes on, and its folder has everything" + ("" if is_other else f"; {remedy}")


def _moment(line: bytes) -> str:
    at = decode(line).get("creation_ts")
    if not isinstance(at, int) or not 0 <= at < 2**53:
        return "some time"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at / 1e6))
