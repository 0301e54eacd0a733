"""From the config of one experiment to its end: seeded, built, run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlgym.config import RunFacts, build
from mlgym.errors import TrainingError
from mlgym.events.sink import NullSink
from mlgym.training.context import Experiment, ExperimentContext
from mlgym.training.determinism import seed_global_generators
from mlgym.training.device import Device


def run_experiment(config: dict[str, Any], context: ExperimentContext) -> None:
    """Builds the components of an experiment and runs its root.

    The global generators are seeded anew for each component before it is built, by its own name, and for training
    afterwards: another component in the config changes neither the first weights of a model nor its training. Of
    several processes that train it together all build the same; each draws its own numbers in training, and the first
    one alone tells of events.

    Args:
        config: resolved, sweep-free.
        context: the surroundings.

    Raises:
        Interrupted: a stop was requested; what must be kept is on disk.
        TrainingError: the root of the config cannot be run.
        Exception: what a component's constructor or the experiment raises, with a note of where.
    """
    if not context.world.is_main:
        context = replace(context, sink=NullSink())
    with context.world.group(context.device):
        Device(context.device)  # what components make on `cuda` alone while they are built is there, too
        root, components = build_experiment(config, run_facts(context))
        if not isinstance(root, Experiment):
            raise TrainingError(
                f"`experiment` must be something that runs, such as `training`, but is {type(root).__name__}: "
                "it has no method `run(context)`"
            )
        seed_global_generators(context.seed, "training", *([context.world.rank] if context.world.rank else []))
        root.run(replace(context, components=components))


def build_experiment(config: dict[str, Any], facts: RunFacts) -> tuple[Any, dict[str, Any]]:
    """Gives the root of an experiment, and every component that was built for it by its key path.

    Args:
        config: resolved, sweep-free.
        facts: what `$run.*` refers to; each component is built on generators seeded for it.

    Raises:
        Exception: what a component's constructor raises, with a note of where.
    """
    components: dict[str, Any] = {}
    root = build(
        config,
        facts,
        before_each=lambda path: seed_global_generators(facts.seed, "build", path),
        after_each=components.__setitem__,
    )
    return root, components


def run_facts(context: ExperimentContext) -> RunFacts:
    """Gives what `$run.*` refers to."""
    return RunFacts(
        seed=context.seed,
        dir=str(context.run_dir),
        device=context.device,
        experiment_id=context.experiment_id,
        fold=context.fold,
    )
