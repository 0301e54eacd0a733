"""Before a run goes on: what a hub has of it beyond the folder here comes first, so that it keeps one history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mlgym.errors import HubError
from mlgym.tracking.delivery import Hubs
from mlgym.tracking.hub_client import HubClient
from mlgym.tracking.pull import catch_up, caught_up_text, pull, refuse_more_events
from mlgym.tracking.run_folder import RunFolder

_PATIENCE_S: Final = 3.0


def keep_one_history(
    folder: RunFolder, hubs: Hubs, tell: Callable[[str], None], *, with_checkpoints: bool = True
) -> None:
    """Brings what a hub has of a run beyond its folder here, which may be an older copy, or missing; a hub may be away.

    Args:
        folder: the run.
        hubs: where it is sent when it goes on.
        tell: takes what was brought, and that it is not known whether there is more.
        with_checkpoints: whether checkpoints are brought, too.

    Raises:
        HubError: the run went on here and there, or what the hub has cannot be brought.
        RunError: it goes on elsewhere; or a hub has more that cannot be brought from there.
    """
    url = hubs.rest_endpoint
    try:
        if url is None:
            for server in hubs.websocket_logging_servers:
                refuse_more_events(folder, server)
            return
        with HubClient(url, patience_s=_PATIENCE_S) as client:
            head = client.head(folder.run_id)
    except HubError as error:
        tell(f"{error}: whether it has more of the run than is here, is not known")
        return
    if head is None or not head.num_events:
        return
    with HubClient(url) as client:
        is_here = folder.log_path.is_file()
        if not is_here:
            pull(folder.run_id, folder.storage, client)
        brought = catch_up(folder, client, with_checkpoints=with_checkpoints)
    if not is_here:
        tell(f"brought run `{folder.run_id}` from {url}: {head.num_events + brought.num_events} events")
    elif brought.num_events:
        tell(f"brought from {url}, which had more of the run: {caught_up_text(brought)}")
