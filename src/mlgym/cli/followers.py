"""Commands that were started as several processes, one a rank."""

from __future__ import annotations

import typer


def follow_rank_0() -> None:
    """Ends this process once it has done its share, where it was started with others and another one drives the run.

    Raises:
        typer.Exit: it has.
    """
    from mlgym.execution.group.together import follow, is_follower

    if is_follower():
        follow()
        raise typer.Exit
