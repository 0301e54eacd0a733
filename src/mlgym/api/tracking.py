"""Tracking a training loop that is not MLgym's, so that it can be brought along before configs are written."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from mlgym.api.arguments import command_text
from mlgym.api.tracked_run import TrackedRun
from mlgym.config import config_id
from mlgym.errors import LogInUseError, RunError
from mlgym.events import Environment, EventLog, ExperimentConfig, RunResumed, RunStarted, RunState, fold
from mlgym.execution.environment import capture_environment, package_versions, recorded_command
from mlgym.execution.run_record import ENVIRONMENT_FILE, EXPERIMENT_CONFIG_FILE
from mlgym.names import DEFAULT_STORAGE, TRACKED, safe_name
from mlgym.tracking import RunFolder, create_run_folder
from mlgym.tracking.delivery import Hubs
from mlgym.tracking.going_on import keep_one_history

_logger: Final = logging.getLogger("mlgym.track")


def track(
    name: str,
    config: Any = None,
    *,
    storage: str | Path = DEFAULT_STORAGE,
    run_id: str | None = None,
    resume: bool = False,
    hub: str | None = None,
    websocket_logging_servers: Sequence[str] = (),
    rest_endpoint: str | None = None,
) -> TrackedRun:
    """Starts a run that your own code writes to.

        with mlgym.track("my-loop", {"lr": 0.1}) as run:
            for step in range(100):
                run.log({"train/loss": loss, "val/f1": f1}, step=step)

    An exception that leaves the block marks the run as failed and goes on. Without `with`, as in a notebook, `finish`
    ends it, or the end of the program. `mlgym runs`, `mlgym show` and `mlgym.load_run` read it as any other run.

    Args:
        name: what the run is called.
        config: what the run was started with: a mapping, a dataclass or the arguments of `argparse`. What JSON cannot
            carry becomes text.
        storage: where the run folder goes.
        run_id: its name; None for the time of the start.
        resume: go on with the run of `run_id` where there is one, here or on the hub; steps count on. What a hub has
            beyond the run folder comes first.
        hub: address of a hub such as `http://127.0.0.1:8080` of `mlgym board`; gets events and files. It is shown the
            token in `MLGYM_TOKEN`. What it does not get stays in the run folder, and training never waits for it.
        websocket_logging_servers: addresses that get the events only, for hubs whose services have ports of their own.
        rest_endpoint: address that gets the files, and the events that it lacks.

    Returns:
        The run, open to be logged to.

    Raises:
        RunError: the run folder cannot be made, or the run of that id goes on elsewhere or is none that was tracked.
        HubError: an address is none, or the run went on in two ways, here and on the hub.
    """
    hubs = Hubs(
        websocket_logging_servers=tuple(dict.fromkeys([*([hub] if hub else []), *websocket_logging_servers])),
        rest_endpoint=rest_endpoint or hub,
    )
    hubs.check()
    plain = _plain_config(config)
    place = Path(storage).absolute()
    if resume and run_id is not None:
        before = RunFolder(place, safe_name(run_id, "run id"))
        keep_one_history(before, hubs, _logger.warning)
        if before.log_path.is_file():
            return _resumed(before, hubs, name, plain)
    folder = create_run_folder(place, run_id)
    run = TrackedRun(folder, EventLog.open(folder.log_path), hubs, plain, num_jobs=0, last_step=-1, last_epoch=0)
    _begin(run, folder, RunStarted, name, num_jobs=0)
    return run


def _resumed(folder: RunFolder, hubs: Hubs, name: str, config: dict[str, Any]) -> TrackedRun:
    try:
        log = EventLog.open(folder.log_path)
    except LogInUseError as error:
        raise RunError(f"run `{folder.run_id}` goes on already, in {error.writer}") from error
    try:
        state = fold(folder.events())
        if state.validation_mode not in (None, TRACKED):
            raise RunError(
                f"run `{folder.run_id}` was started by `mlgym run`, which goes on with it: mlgym resume {folder.run_id}"
            )
        step, epoch = _last(state)
        run = TrackedRun(folder, log, hubs, config, num_jobs=state.num_jobs, last_step=step, last_epoch=epoch)
        _begin(run, folder, RunResumed, name, num_jobs=state.num_jobs)
    except BaseException:
        log.close()
        raise
    return run


def _last(state: RunState) -> tuple[int, int]:
    """Gives the last step that was logged and the epoch that it was in; -1 and 0 where nothing was."""
    histories = [history for one in state.experiments.values() for history in one.metrics.values()]
    return max(((history[-1].step, history[-1].epoch) for history in histories if history), default=(-1, 0))


def _begin(run: TrackedRun, folder: RunFolder, event: type[RunStarted], name: str, *, num_jobs: int) -> None:
    command = command_text(())
    environment = _environment(command)
    folder.write_json(ENVIRONMENT_FILE, environment)
    folder.write_json(f"0/{EXPERIMENT_CONFIG_FILE}", {"config_id": config_id(run.config), **run.config})
    run.begin(
        event(
            grid_search_id=folder.run_id,
            name=str(name),
            command=recorded_command(command),
            versions=package_versions(),
            num_experiments=1,
            validation_mode=TRACKED,
        ),
        Environment(grid_search_id=folder.run_id, environment=environment),
        ExperimentConfig(
            grid_search_id=folder.run_id, experiment_id=0, job_id=f"{folder.run_id}-{num_jobs}", config=run.config
        ),
    )


def _environment(command: Sequence[str]) -> dict[str, Any]:
    file = getattr(sys.modules["__main__"], "__file__", None)
    script = Path(file) if file is not None and Path(file).is_file() else None
    # A loop without PyTorch must not wait for it to be imported.
    torch = sys.modules.get("torch")
    return capture_environment(
        threads=None if torch is None else torch.get_num_threads(),
        deterministic=None,
        folder=None if script is None else script.absolute().parent,
        command=command,
        main_script=script,
    )


def _plain_config(config: Any) -> dict[str, Any]:
    if isinstance(config, argparse.Namespace):
        config = vars(config)
    elif dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = dataclasses.asdict(config)
    if config is not None and not isinstance(config, Mapping):
        raise RunError(
            f"`config` must be a mapping, a dataclass or the arguments of argparse, but is a {type(config).__name__}"
        )
    return {} if config is None else _plain(dict(config))


def _plain(value: Any) -> Any:
    """Gives a value as JSON carries it; what that cannot carry becomes text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if isinstance(value, float):
        return value if value - value == 0.0 else str(value)
    if callable(getattr(value, "tolist", None)):
        return _plain(value.tolist())
    try:
        return msgspec.to_builtins(value, enc_hook=str)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
