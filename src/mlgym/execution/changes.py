"""Which changes of its config a run can go on with, and the error that names the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mlgym.config import ConfigChange, config_changes, is_admitted
from mlgym.errors import RunError

_MAX_LISTED: Final = 20


class ConfigChangedError(RunError):
    """The config is not the one that the run was started with.

    Args:
        run_id: the run.
        changes: what differs and nobody admitted, each with the experiments in which only the code says it; none where
            the config itself does.
    """

    def __init__(self, run_id: str, changes: Sequence[tuple[ConfigChange, Sequence[int]]]) -> None:
        self.changes = [change for change, _ in changes]
        lines = [f"the config changed since run `{run_id}` was started:"]
        lines += [f"  {change}{_who(experiments)}" for change, experiments in changes[:_MAX_LISTED]]
        if len(changes) > _MAX_LISTED:
            lines.append(f"  ... and {len(changes) - _MAX_LISTED} more")
        super().__init__("\n".join([*lines, _remedy(self.changes)]))


def refuse_other_config(
    run_id: str, recorded: Mapping[str, Any], current: Mapping[str, Any], keys: Sequence[str]
) -> None:
    """Compares the merged configs of a run and of whoever wants to go on with it.

    Args:
        run_id: the run.
        recorded: what the run was started with.
        current: what it is to go on with.
        keys: keys that may differ, with everything below.

    Raises:
        ConfigChangedError: something else differs, or something that makes it another run.
    """
    refused = [
        change
        for change in config_changes(recorded, current)
        if change.makes_another_run or not is_admitted(change, keys)
    ]
    if refused:
        raise ConfigChangedError(run_id, [(change, ()) for change in refused])


def _who(experiments: Sequence[int]) -> str:
    if not experiments:
        return ""
    listed = ", ".join(map(str, experiments[:5])) + (", ..." if len(experiments) > 5 else "")
    return f" (experiment{'s' if len(experiments) > 1 else ''} {listed}: the default or the code changed)"


def _remedy(changes: Iterable[ConfigChange]) -> str:
    if any(change.makes_another_run for change in changes):
        return (
            "Other seeds, sweeps or validation make another run: start it with `mlgym run`, "
            "or go on with this one as it was started"
        )
    keys = dict.fromkeys(change.key for change in changes)
    options = " ".join(f"--allow-config-change {key}" for key in [*keys][:_MAX_LISTED])
    return (
        "Results from before and after would belong to different configs. Go on with the config that the run was "
        f"started with, start another run with `mlgym run`, or admit the changes: {options}"
    )
