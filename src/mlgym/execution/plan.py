"""What is left to do of a run: which experiments go on, and which of them need not repeat what they did before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlgym.config import ConfigChange, Point, config_changes, is_admitted, resolve
from mlgym.errors import RunError
from mlgym.events import ExperimentState, RunState
from mlgym.execution.changes import ConfigChangedError
from mlgym.execution.driver import Remaining
from mlgym.execution.scheduler import Outcome
from mlgym.validation.modes import DecidingPlan, SearchPlan


def remaining_of(
    state: RunState, space: Sequence[Point], *, run_id: str, admitted: Sequence[str] = (), retry_failed: bool = False
) -> Remaining:
    """Gives what is left to do of a run.

    Experiments go on that never started, were interrupted, or were under way when the driver died; those that failed
    where they are to be tried again; those that are done where they have more epochs now.

    Args:
        state: what the log says.
        space: the config's points by experiment id, as they are now.
        run_id: the run.
        admitted: keys of the config that may differ from what the run was started with.
        retry_failed: whether failed experiments are tried again.

    Raises:
        ConfigChangedError: the config of an experiment that goes on resolves to something else than it did.
        RunError: the config has another number of experiments than the run.
    """
    if state.num_experiments not in (None, len(space)) or any(each >= len(space) for each in state.experiments):
        raise RunError(
            f"run `{run_id}` has {state.num_experiments or len(state.experiments)} experiments, but the config unfolds "
            f"into {len(space)}: that is another run, start it with `mlgym run`"
        )
    outcomes: dict[int, Outcome] = {}
    parted = set()
    # What is left of a search is for its strategy to say, which may go on with a trial that rests.
    is_open = isinstance(space, SearchPlan) and not any(step.action == "finish" for step in state.search)
    refused: dict[str, tuple[ConfigChange, list[int]]] = {}
    for experiment_id, experiment in state.experiments.items():
        if experiment.status == "failed" and (not retry_failed or _is_closed(space, experiment_id)):
            outcomes[experiment_id] = "failed"
        elif experiment.status == "done" and not (admitted and _has_more_epochs(experiment, space, experiment_id)):
            outcomes[experiment_id] = "succeeded"
        elif experiment.config:
            changes = _changes_of(run_id, experiment, space[experiment_id])
            for change in changes:
                if change.makes_another_run or not is_admitted(change, admitted):
                    refused.setdefault(str(change), (change, []))[1].append(experiment_id)
            if changes:
                parted.add(experiment_id)
    if refused:
        raise ConfigChangedError(run_id, list(refused.values()))
    settled = frozenset() if is_open else frozenset(outcomes)
    return Remaining(settled=settled, outcomes=outcomes, parted=parted)


def _changes_of(run_id: str, experiment: ExperimentState, point: Point) -> list[ConfigChange]:
    if config_changes(experiment.swept, point.swept):
        raise RunError(
            f"experiment {point.experiment_id} of run `{run_id}` has {experiment.swept}, but {point.swept} in the "
            "config: that is another run, start it with `mlgym run`"
        )
    return config_changes(experiment.config, resolve(point.config))


def _is_closed(space: Sequence[Point], experiment_id: int) -> bool:
    """Tells whether the result of an experiment counts no more, because what it competed for is decided."""
    return isinstance(space, DecidingPlan) and space.is_closed(experiment_id)


def _has_more_epochs(experiment: ExperimentState, space: Sequence[Point], experiment_id: int) -> bool:
    """Tells whether a finished experiment has more to do now; one that stopped early has reached its end."""
    if experiment.stop_reason is not None:
        return False
    before, now = _epochs(experiment.config), _epochs(resolve(space[experiment_id].config))
    if before is None or now is None or now <= before:
        return False
    if isinstance(space, DecidingPlan):
        raise RunError(
            f"{space.procedure} cannot go on to more epochs: what it chose, it chose by what fewer gave. Start another "
            "run"
        )
    return True


def _epochs(config: Mapping[str, Any]) -> int | None:
    root = config.get("experiment")
    if isinstance(root, str):
        root = config.get("components", {}).get(root.removeprefix("$"))
    epochs = root.get("epochs") if isinstance(root, dict) else None
    return epochs if type(epochs) is int else None
