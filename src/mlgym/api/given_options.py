"""Options of a launch that mean nothing beside each other: refused, so that nobody waits for what they asked for.

Only what is given now is looked at. What a run was launched with may belong to another executor, and stays recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mlgym.errors import RunError
from mlgym.execution.devices import kind_of
from mlgym.execution.group.together import leader
from mlgym.execution.options import RunOptions

_LEAST: Final = {"processes": 1, "slots_per_device": 1, "devices_per_experiment": 1, "retries": 0, "node_retries": 0}


def check_given(given: Mapping[str, Any], options: RunOptions) -> None:
    """Checks what was given against itself and against what holds beside it.

    Args:
        given: options by the names of `RunOptions`, None for what nobody said.
        options: all that holds, defaults and what is recorded included.

    Raises:
        RunError: numbers are out of range, or options have no effect where they are given; all of them are told.
    """
    said = {name: value for name, value in given.items() if value is not None}
    complaints = [*_out_of_range(said), *_without_effect(said, options)]
    if complaints:
        raise RunError("\n".join(complaints))


def _out_of_range(said: Mapping[str, Any]) -> Iterator[str]:
    for name, least in _LEAST.items():
        if isinstance(said.get(name), int) and said[name] < least:
            yield f"`{name}` must be at least {least}, but is {said[name]}"
    limit_s = said.get("time_limit_s")
    if limit_s is not None and not limit_s > 0:
        yield f"`time_limit_s` must be above 0 s, but is {limit_s:g}: leave it out where there is no limit"


def _without_effect(said: Mapping[str, Any], options: RunOptions) -> Iterator[str]:
    executor, slots = options.executor, said.get("slots_per_device", 1)
    if executor == "inline":
        yield from _beside_inline(said, options)
    elif slots != 1 and executor == "slurm":
        yield f"`slots_per_device` is {slots}, but a task of SLURM has its devices for itself: leave it out"
    elif slots != 1 and all(kind_of(device) == "cpu" for device in options.devices):
        yield (
            f"`slots_per_device` is {slots}, but `devices` is {', '.join(options.devices)}: it shares out GPUs; on the "
            "CPU, `processes` says how many experiments run at a time"
        )
    if executor == "ray" and options.ray.address is None and (options.ray.insecure or options.ray.wait_s):
        yield (
            "`--insecure-cluster` and `--cluster-wait-s` are about a Ray cluster that is there already: give its "
            "`--address`"
        )
    if said.get("local_checkpoints") is False and options.checkpoint_place is None:
        yield "without local checkpoints there would be none: say where they are kept, `--checkpoint-place URL`"


def _beside_inline(said: Mapping[str, Any], options: RunOptions) -> Iterator[str]:
    why = "`inline` runs one experiment after the other in this process, on one device"
    for name in ("processes", "slots_per_device"):
        if said.get(name, 1) != 1:
            yield f"{why}, but `{name}` is {said[name]}: leave it out, or take `--executor processes`"
    if "node_retries" in said:
        yield f"{why}, with which everything is lost: leave `node_retries` out, or take `--executor processes`"
    devices = said.get("devices", ())
    if len(devices) > 1 and leader() is None and options.devices_per_experiment == 1:
        yield f"{why}, but `devices` is {', '.join(devices)}: name one, or take `--executor processes`"
