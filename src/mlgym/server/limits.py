"""How much a client of a service may ask for, and how slowly."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may cost.

    Args:
        body_bytes: largest body that is held in memory, in bytes.
        upload_bytes: largest file, in bytes.
        events_bytes: largest body of events, in bytes.
        message_bytes: largest message of a socket, in bytes.
        connections: most connections at a time.
        wait_s: how long the next piece of a body, or the head of a request, may take, in s.
        stall_s: how long a client may take nothing of an answer, in s.
        stale_upload_s: how long an upload that nobody goes on with is kept, in s.
        idle_log_s: how long the log of a run that gets no events stays open, in s: nobody else can write it meanwhile.
    """

    body_bytes: int = 16 * 2**20
    upload_bytes: int = 64 * 2**30
    events_bytes: int = 4 * 2**30
    message_bytes: int = 16 * 2**20
    connections: int = 2000
    wait_s: float = 30.0
    stall_s: float = 120.0
    stale_upload_s: float = 7 * 86_400.0
    idle_log_s: float = 0.1
