"""What an experiment will measure, told from its config: exactly what is measured then, or nothing is told."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor, nn

from mlgym.components.loss.base import Loss, PairLoss
from mlgym.components.metric import NamedMetric
from mlgym.components.metric.labels import F1
from mlgym.config import REGISTRY, Registry, RunFacts, build, check, load
from mlgym.config.scores import known_scores
from mlgym.config.signature import signature_of
from mlgym.config.tree import Tree
from mlgym.errors import ConfigError
from mlgym.training.evaluator import Evaluator
from tests.training.conftest import SmallNet, make_loaders

_PLAIN: dict[str, Any] = {"losses": [{"use": "mse"}], "k": 5, "p": 2}
LOSSES = [one.name for one in REGISTRY if isinstance(one.target, type) and issubclass(one.target, Loss)]
METRICS = [one.name for one in REGISTRY if isinstance(one.target, type) and issubclass(one.target, NamedMetric)]


def config(evaluator: dict[str, Any], **experiment: Any) -> dict[str, Any]:
    """An experiment of the usual kind."""
    components = {
        "data": {"use": "iris"},
        "model": {"use": "mlp", "hidden": 4},
        "optimizer": {"use": "adam", "model": "$model"},
        "evaluator": {"metrics": [], **evaluator},
    }
    rest = {"early_stopping": None, "checkpoints": None, **experiment}
    return {"version": 1, "extends": "preset/classification", "components": components, "experiment": rest}


def told(evaluator: dict[str, Any], registry: Registry = REGISTRY) -> set[str] | None:
    """What is known without building anything; None for nothing."""
    scores = known_scores(Tree.read(load(config(evaluator)).root), registry)
    return None if scores is None else {each for each in scores if each != "train/running_loss"}


def made(evaluator: dict[str, Any]) -> set[str]:
    """What an evaluator with such parts says itself."""
    parts: dict[str, Any] = {
        name: [build({"experiment": each}, RunFacts()) for each in evaluator[name]]
        for name in ("metrics", "loss")
        if name in evaluator
    }
    loaders = dict.fromkeys(evaluator["splits"], make_loaders()["val"])
    return set(Evaluator(SmallNet(), parts.pop("loss", nn.L1Loss()), loaders=loaders, **parts).names)


def use(component: str, **parameters: Any) -> dict[str, Any]:
    """A component with what it cannot do without."""
    params = signature_of(REGISTRY.find(component)).params.values()
    return {"use": component, **{each.name: _PLAIN[each.name] for each in params if each.is_required}, **parameters}


def test_of_every_kind_it_is_what_the_evaluator_says() -> None:
    """All metrics and losses that MLgym has, by their defaults, with averages, and with names of their own."""
    metrics = [use(name) for name in METRICS if name not in LOSSES]
    metrics += [use("f1", average="none"), use("f1", average="micro"), use("recall_at_k", k=3, name="found")]
    losses = [use(name) for name in LOSSES] + [use("cross_entropy", name="again")]
    evaluator = {"metrics": metrics, "loss": losses, "splits": ["val", "test"]}
    assert len(metrics) > 12
    assert len(losses) > 5
    assert told(evaluator) == made(evaluator)
    both = {"metrics": [use("mse")], "splits": ["val"]}
    assert told(both) == made(both) == {"val/loss", "val/mse"}


def test_all_alternatives_are_taken_together() -> None:
    """Of averages and of whole metrics; a score that only some experiments have may be waited for."""
    average = {"sweep": ["macro", "micro"]}
    evaluator = {"metrics": [{"sweep": [use("f1", average=average), use("accuracy")]}], "splits": ["val"]}
    assert told(evaluator) == {"val/loss", "val/f1_macro", "val/f1_micro", "val/accuracy"}


@pytest.mark.parametrize(
    ("experiment", "fault"),
    [
        (
            {"early_stopping": {"use": "patience", "metric": "val/acuracy", "best": "max", "epochs": 1}},
            "early_stopping",
        ),
        ({"early_stopping": [{"use": "target_reached", "metric": "vla/loss", "best": "min", "target": 0.1}]}, "[0]"),
        ({"checkpoints": {"use": "keep_best", "metric": "val/los", "best": "min"}}, "checkpoints.metric"),
    ],
)
def test_whoever_waits_in_vain_is_told(experiment: dict[str, Any], fault: str) -> None:
    """Every rule and strategy that names a score; see `tests/config/test_scores.py` for how."""
    with pytest.raises(ConfigError) as caught:
        check(load(config({"metrics": [use("accuracy")]}, **experiment)))
    (found,) = caught.value.faults
    assert fault in found.path
    assert "is not evaluated; did you mean" in found.message


def test_a_name_is_no_metric() -> None:
    """Told by `mlgym check`, with what to write."""
    with pytest.raises(ConfigError) as caught:
        check(load(config({"metrics": ["accuracy"]})))
    assert "metrics[0]: needs NamedMetric" in str(caught.value)
    assert 'got "accuracy"; write `{use: accuracy}`' in str(caught.value)


class Streaming:
    """A metric without a name."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Nothing."""

    def compute(self) -> float:
        """Nothing."""
        return 0.0

    def reset(self) -> None:
        """Nothing."""


class Named(NamedMetric, Streaming):  # type: ignore[misc]  # their methods take and give more, or less
    """A metric that calls itself something."""

    def __init__(self) -> None:
        self.name = "whatever"


class Inherits(F1):
    """A metric that differs in what it counts."""

    kind = "counted"


class Nameless(Streaming, NamedMetric):  # type: ignore[misc]  # as above
    """A metric that forgot its name."""


class Difference(PairLoss):
    """A loss without a constructor of its own."""

    kind = "difference"

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean difference."""
        return (prediction - target).mean()


def _made_elsewhere(loss: str = "l1") -> Any:
    return [nn.L1Loss()]


def test_what_others_call_themselves_stays_open() -> None:
    """Names that only a constructor knows; one without a name of its own is called as it is registered."""
    registry = Registry()
    for component in REGISTRY:
        registry.register(component.name, outputs=component.outputs, call_args=component.call_args)(component.target)
    registry.register("streaming")(Streaming)
    registry.register("named")(Named)
    registry.register("inherits")(Inherits)
    registry.register("nameless")(Nameless)
    registry.register("difference")(Difference)
    registry.register("elsewhere")(_made_elsewhere)
    registry.register("distance", call_args=("prediction", "target"))(lambda prediction, target: prediction)
    one = {"splits": ["val"], "metrics": [{"use": "streaming"}], "loss": [{"use": "distance"}]}
    assert told(one, registry) == {"val/streaming", "val/distance"}
    assert told({**one, "loss": {"use": "distance"}}, registry) == {"val/streaming", "val/loss"}
    inherited = {**one, "metrics": [{"use": "inherits", "average": "none"}], "loss": [{"use": "difference"}]}
    assert told(inherited, registry) == {"val/counted", "val/difference"}
    assert told({"metrics": [{"use": "named"}]}, registry) is None
    assert told({"metrics": [{"use": "nameless"}]}, registry) is None
    assert told({"loss": {"use": "elsewhere"}}, registry) is None
    assert told({"loss": [{"use": "elsewhere"}]}, registry) is None
