"""How the trials of a search stand: in the words of the report, but for all of them in one pass over its steps."""

from __future__ import annotations

from typing import NamedTuple

from mlgym.events import RunState

_AFTER_RESULT = {"paused": "paused", "ended": "complete", "failed": "failed"}


class Standing(NamedTuple):
    """How a trial stands.

    Args:
        rung: at which it is compared next, or was last, from 0; None where the strategy has none.
        standing: as `ExperimentRow.standing`, but that early stopping is not told from the end.
        decision: what the strategy said when it decided about it last; empty for nothing.
    """

    rung: int | None
    standing: str
    decision: str


def standings_of(state: RunState) -> dict[int, Standing]:
    """Gives the standing of each trial by its number; nothing where the run is no search."""
    found: dict[int, Standing] = {}
    is_over = False
    for step in state.search:
        is_over = is_over or step.action == "finish"
        if step.trial is None:
            continue
        before = found.get(step.trial, Standing(None, "", ""))
        decision = step.reason or before.decision
        if step.action in ("try", "promote"):
            found[step.trial] = Standing(step.rung, "running", decision)
        elif step.action == "stop":
            found[step.trial] = before._replace(standing="stopped", decision=decision)
        elif step.action == "result":
            found[step.trial] = before._replace(standing=_AFTER_RESULT.get(step.state, "running"))
    if not is_over:
        return found
    return {trial: one._replace(standing="left") if one.standing == "paused" else one for trial, one in found.items()}
