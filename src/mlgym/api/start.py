"""Starting a run from Python; the command line calls the same function."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from mlgym.api.launch_check import check_launch
from mlgym.api.results import Run
from mlgym.config import check, load
from mlgym.display.progress import open_display
from mlgym.execution import RunOptions, launch
from mlgym.names import DEFAULT_STORAGE
from mlgym.tracking import find_run


def run(
    config: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    storage: str | Path = DEFAULT_STORAGE,
    run_id: str | None = None,
    executor: Literal["processes", "inline"] = "processes",
    processes: int | None = None,
    devices: Sequence[str] = ("cpu",),
    slots_per_device: int = 1,
    threads: int | Literal["auto"] = 1,
    time_limit_s: float | None = None,
    determinism: Literal["bitwise", "fast"] = "bitwise",
    text_logging_path: str | Path | None = None,
    command: Sequence[str] = (),
    progress: bool = True,
    **changes: Any,
) -> Run:
    """Runs every experiment that a config unfolds into, and gives the run when all have ended.

    Args:
        config: a YAML file, or the same as nested mappings.
        overrides: changes as the command line takes them, `"optimizer.lr=0.01"`.
        storage: where the run folder goes.
        run_id: its name; None for the time of the start.
        executor: `processes`: a fresh process per experiment; `inline`: one after the other in this one.
        processes: experiments at a time; None: one per core, or per slot of the devices.
        devices: such as `cpu` or `cuda:0`, `cuda:1`.
        slots_per_device: experiments at a time on one GPU.
        threads: threads of one operation in each experiment, a part of its identity; `auto` shares out the cores.
        time_limit_s: an experiment that takes longer fails.
        determinism: `fast` allows operations whose results differ between repetitions.
        text_logging_path: folder for the output of each experiment as text.
        command: how the run was launched, for the record; empty for this process's own command line.
        progress: show progress on stderr.
        changes: changes by key, `**{"optimizer.lr": 0.01}`; the same as `overrides`.

    Returns:
        The finished run; `exit_code` and `num_failed` say how it went.

    Raises:
        ConfigError: the config is wrong; nothing was started.
        RunError: the run could not be started, for a device that is not there, for example.
    """
    changed = [f"{key}={msgspec.json.encode(value).decode()}" for key, value in changes.items()]
    document = load(config, [*overrides, *changed])
    space = check(document)
    logs = None if text_logging_path is None else Path(text_logging_path)
    check_launch(devices=devices, threads=threads, text_logging_path=logs)
    options = RunOptions(
        storage=Path(storage),
        run_id=run_id,
        executor=executor,
        processes=processes,
        devices=tuple(devices),
        slots_per_device=slots_per_device,
        threads=threads,
        time_limit_s=time_limit_s,
        text_logging_path=logs,
        determinism=determinism,
    )
    display = open_display() if progress else None
    try:
        summary = launch(
            document, space, options, command=[_text(one) for one in command or sys.argv], observer=display
        )
    finally:
        if display is not None:
            display.close()
    return Run(find_run(Path(storage), summary.run_id))


def _text(argument: str) -> str:
    # A file name that is no UTF-8 is a valid argument, but no log takes it.
    return argument.encode(errors="surrogateescape").decode(errors="backslashreplace")
