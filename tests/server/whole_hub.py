"""All of a hub's services over two runs, for what is thrown at every route."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mlgym.events import EventLog, Producer
from mlgym.tracking import RunFolder, create_run_folder
from tests.events.samples import log_event
from tests.server.service import ALL, Service


@contextmanager
def whole_hub(storage: Path) -> Iterator[tuple[Service, list[RunFolder]]]:
    """Gives the services and their runs, `run` and `other`; fails where the services told of an exception."""
    with Service(storage, program=ALL) as running:
        folders = [create_run_folder(running.storage, run_id) for run_id in ("run", "other")]
        for folder in folders:
            with EventLog.open(folder.log_path) as log:
                log.append([Producer().event(msgspec.structs.replace(log_event(), grid_search_id=folder.run_id))])
        yield running, folders
        code, said = running.stop(signal.SIGTERM)
        assert (code, "Traceback" in said) == (0, False), said
