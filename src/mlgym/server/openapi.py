"""The OpenAPI document of the REST service, as `docs/reference/openapi.json` has it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mlgym.server.api.reads import Reads
from mlgym.server.limits import Limits
from mlgym.server.notes_log import NotesLog
from mlgym.server.rest import rest_app
from mlgym.server.store import HubStore
from mlgym.server.trash import Trash


def openapi_document() -> str:
    """Gives the document as JSON; nothing on disk is looked at."""
    storage = Path("event_storage")
    store, notes = HubStore(storage), NotesLog(storage)
    trash = Trash(store, notes)
    app = rest_app(store, notes, trash, Reads(store, notes, trash), Limits())
    return msgspec.json.format(msgspec.json.encode(app.openapi()), indent=2).decode() + "\n"
