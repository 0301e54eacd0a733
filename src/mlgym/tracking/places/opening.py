"""Which place a word of the user means, and whether it can be one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from mlgym.errors import PlaceError
from mlgym.tracking.hub_client import checked_url
from mlgym.tracking.places.hub_place import HubPlace
from mlgym.tracking.places.place import CheckpointPlace
from mlgym.tracking.places.url_place import UrlPlace, check_url, local_path

HUB: Final = "hub"
"""What stands for the hub of `--rest-endpoint`."""
_OF_HUBS: Final = ("http://", "https://")
_IN_MEMORY: Final = "memory://"


def resolved_place(place: str | None, rest_endpoint: str | None) -> str | None:
    """Gives the address of a place as workers are told it: a URL of `fsspec`, or the address of a hub.

    Args:
        place: as the user named it: a URL, `hub`, or None for the run folder alone.
        rest_endpoint: address of the hub; None for none.

    Raises:
        PlaceError: `hub` without one.
        HubError: it is no address of a hub.
    """
    if place != HUB:
        return place
    if rest_endpoint is None:
        raise PlaceError("checkpoints are to be kept at a hub, but no hub is named: say which, --rest-endpoint URL")
    return checked_url(rest_endpoint)


def open_place(
    address: str, run_id: str, *, patience_s: float = 10.0, goes_on: Callable[[], bool] = lambda: True
) -> CheckpointPlace:
    """Gives the place of a run's checkpoints.

    Args:
        address: as `resolved_place` gave it.
        run_id: the run.
        patience_s: how long a hub is asked again while it does not answer, in s.
        goes_on: see `HubPlace`.

    Raises:
        PlaceError, HubError: there can be no such place.
    """
    if address.startswith(_OF_HUBS):
        return HubPlace(address, run_id, patience_s=patience_s, goes_on=goes_on)
    return UrlPlace(address, run_id)


def check_place(place: str, *, storage: Path, rest_endpoint: str | None, is_one_process: bool) -> None:
    """Checks a place as far as that goes without asking anybody.

    Args:
        place: as the user named it.
        storage: the folder of all runs.
        rest_endpoint: address of the hub; None for none.
        is_one_process: whether experiments run in the driver's own process.

    Raises:
        PlaceError: it cannot be one; the text says what to change.
    """
    if place.startswith(_OF_HUBS):
        raise PlaceError(f"`{place}` is the address of a hub: say --checkpoint-place hub --rest-endpoint {place}")
    if place == HUB:
        resolved_place(place, rest_endpoint)
        return
    check_url(place)
    if place.startswith(_IN_MEMORY) and not is_one_process:
        raise PlaceError(f"`{place}` ends with the process that writes there: use it with --executor inline only")
    folder = local_path(place)
    if folder is not None and folder.resolve() == storage.resolve():
        raise PlaceError(f"`{place}` is the storage folder itself, where checkpoints are anyhow: leave it out")


def claim_place(place: str, run_id: str, rest_endpoint: str | None, *, is_new: bool) -> None:
    """Takes a place for a run, which shows that it can be written to before anything starts.

    Args:
        place: as the user named it.
        run_id: the run.
        rest_endpoint: address of the hub; None for none.
        is_new: whether nothing of the run may be there yet.

    Raises:
        PlaceError: it cannot, or has a run of the same id.
    """
    address = resolved_place(place, rest_endpoint)
    assert address is not None
    opened = open_place(address, run_id)
    try:
        opened.claim(is_new=is_new)
    finally:
        opened.close()
