"""Parameter groups and several optimizers in one."""

from typing import Any

import pytest
import torch
from torch import nn

from mlgym.components.model import MLP
from mlgym.components.optim import Optimizers, optimizer_groups
from mlgym.errors import TrainingError


def make_model() -> MLP:
    return MLP([8], 3, num_inputs=5, seed=1)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, num_steps: int, start: int = 0) -> None:
    for step in range(start, start + num_steps):
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(16, 5, generator=generator)  # (batch, features)
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()


def test_groups_get_their_settings_and_the_rest_the_common_ones() -> None:
    """A matched group overrides the common settings, unmatched parameters keep them, and no parameter is lost."""
    model = make_model()
    groups: list[Any] = [{"match": ".*bias", "weight_decay": 0.0}]
    optimizer = optimizer_groups(model, groups, optimizer="adam", settings={"lr": 0.5, "weight_decay": 0.1})
    assert isinstance(optimizer, torch.optim.Adam)
    first, rest = optimizer.param_groups
    assert (first["lr"], first["weight_decay"], rest["lr"], rest["weight_decay"]) == (0.5, 0.0, 0.5, 0.1)
    assert all(parameter.ndim == 1 for parameter in first["params"])
    assert {id(p) for g in optimizer.param_groups for p in g["params"]} == {id(p) for p in model.parameters()}


def test_several_optimizers_equal_separate_ones() -> None:
    """`Optimizers` gives the very weights that two optimizers stepped by hand give."""
    together, apart = make_model(), make_model()
    groups: list[Any] = [{"match": ".*weight", "optimizer": "sgd", "lr": 0.1, "momentum": 0.9}]
    optimizer = optimizer_groups(together, groups, optimizer="adam", settings={"lr": 0.01})
    assert isinstance(optimizer, Optimizers)
    train(together, optimizer, 5)
    weights = [p for n, p in apart.named_parameters() if n.endswith("weight")]
    biases = [p for n, p in apart.named_parameters() if n.endswith("bias")]
    by_hand = [
        torch.optim.SGD(weights, lr=0.1, momentum=0.9, fused=True),
        torch.optim.Adam(biases, lr=0.01, fused=True),
    ]
    for step in range(5):
        inputs = torch.randn(16, 5, generator=torch.Generator().manual_seed(step))
        for each in by_hand:
            each.zero_grad()
        apart(inputs).square().mean().backward()
        for each in by_hand:
            each.step()
    assert all(torch.equal(a, b) for a, b in zip(together.parameters(), apart.parameters(), strict=True))


GROUPS: list[Any] = [{"match": ".*weight", "optimizer": "adagrad", "lr": 0.1}]


def test_several_optimizers_resume_bit_for_bit() -> None:
    """Going on from a state dict gives the same weights; the control without it does not."""
    straight = make_model()
    train(straight, optimizer_groups(straight, GROUPS, optimizer="adam"), 6)

    def resumed(load: bool) -> nn.Module:
        model = make_model()
        optimizer = optimizer_groups(model, GROUPS, optimizer="adam")
        train(model, optimizer, 3)
        again = make_model()
        again.load_state_dict(model.state_dict())
        fresh = optimizer_groups(again, GROUPS, optimizer="adam")
        if load:
            fresh.load_state_dict(optimizer.state_dict())
        train(again, fresh, 3, start=3)
        return again

    def same(model: nn.Module) -> bool:
        return all(torch.equal(a, b) for a, b in zip(straight.parameters(), model.parameters(), strict=True))

    assert same(resumed(load=True))
    assert not same(resumed(load=False))


def test_a_scheduler_reaches_every_optimizer() -> None:
    """A learning rate set from outside is used by the inner optimizer, also after a state was loaded."""
    model = make_model()
    optimizer = optimizer_groups(model, GROUPS, optimizer="sgd", settings={"lr": 1.0})
    optimizer.load_state_dict(optimizer.state_dict())
    assert isinstance(optimizer, Optimizers)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    train(model, optimizer, 1)
    scheduler.step()
    assert [o.param_groups[0]["lr"] for o in optimizer.optimizers] == [0.05, 0.5]


@pytest.mark.parametrize(
    ("groups", "settings", "expected"),
    [
        ([{"match": "layers.1.wieght"}], {}, "matches the whole name of no parameter; did you mean `layers.1.weight`"),
        ([{"match": ".*weight"}, {"match": "layers.1.*"}], {}, "both match the parameter `layers.1.weight`"),
        ([{"lr": 1}], {}, r"`groups\[0\]` needs `match`"),
        ([{"match": "("}], {}, "is no regular expression"),
        ([{"match": ".*", "optimizer": "adan"}], {}, "no optimizer `adan`; did you mean `adam`"),
        ([{"match": ".*", "lrr": 1}], {}, "`adamw` has no setting `lrr`; did you mean `lr`"),
        ([{"match": ".*", "lr": -1}], {}, "groups\\[0\\].lr: input should be greater than 0, got -1"),
        ([{"match": ".*", "fused": True}], {}, "has no setting `fused`"),
        ([], {"model": 1}, "settings: `adamw` has no setting `model`"),
    ],
)
def test_faults_are_named(groups: list[Any], settings: dict[str, Any], expected: str) -> None:
    """Each way to get the groups wrong says what is wrong and what is near."""
    with pytest.raises(TrainingError, match=expected):
        optimizer_groups(make_model(), groups, settings=settings)


def test_muon_for_matrices_only() -> None:
    """Muon alone is refused with the way out, and the way out works."""
    model = make_model()
    with pytest.raises(TrainingError, match="use `optimizer_groups`"):
        optimizer_groups(model, [], optimizer="muon")
    optimizer = optimizer_groups(model, [{"match": ".*weight", "optimizer": "muon"}])
    train(model, optimizer, 2)
