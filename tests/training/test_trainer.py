"""Training over one epoch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader

from mlgym.components.loss import CrossEntropy
from mlgym.components.step import AlternatingStep, SupervisedStep, Turn
from mlgym.components.tensors import StepOutput
from mlgym.config import check, load
from mlgym.errors import ConfigError, Interrupted, TrainingError
from mlgym.training.callbacks import Hooks
from mlgym.training.context import ExperimentContext
from mlgym.training.determinism import seed_global_generators
from mlgym.training.device import Device
from mlgym.training.digest import digest
from mlgym.training.loop import Epoch, Gear, train_epoch
from mlgym.training.state import State
from mlgym.training.trainer import Trainer

from .conftest import make_data, make_loaders, make_model


class StopsWhenAsked:
    """Looks after nothing but stop requests."""

    def __init__(self, context: ExperimentContext) -> None:
        self._stop = context.stop

    @property
    def wanted(self) -> bool:
        return self._stop.requested

    def next_step(self) -> int:
        return 2**62

    def give(self, epoch: Epoch) -> None:
        raise Interrupted(f"stopped after step {epoch.done}")


def _train(
    trainer: Trainer, context: ExperimentContext, *, epochs: int = 1, callbacks: Any = (), **changes: Any
) -> State:
    state = State(context, trainer.model, trainer.optimizers, epochs)
    updates = trainer.updates(Device("cpu", trainer.precision))
    progress = changes.get("progress", lambda done: None)
    gear = Gear(updates, None, Hooks(callbacks), StopsWhenAsked(context), progress)
    for _ in range(epochs):
        train_epoch(trainer, state, Epoch(trainer.num_batches(changes.get("steps_per_epoch"))), gear)
        state.epoch += 1
    return state


def _trainer(model: nn.Module, **changes: Any) -> Trainer:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    given: dict[str, Any] = {"optimizer": optimizer, "loader": make_loaders()["train"], "loss": CrossEntropy()}
    return Trainer(model, **(given | changes))


def test_equals_a_loop_written_by_hand_bit_for_bit(context: ExperimentContext) -> None:
    """The loop does what ten lines of plain torch do, dropout and batch norm included."""
    by_hand = make_model()
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=0.01)
    seed_global_generators(7, "test")
    by_hand.train()
    for epoch in range(3):
        for inputs, targets in make_loaders()["train"].epoch(epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(by_hand(inputs), targets).backward()
            optimizer.step()

    trainer = _trainer(make_model())
    seed_global_generators(7, "test")
    trained = _train(trainer, context, epochs=3)
    assert trained.step == 15
    assert digest(trained.model.state_dict()) == digest(by_hand.state_dict())
    assert digest(trained.model.state_dict()) != digest(make_model().state_dict())


def test_accumulation_averages_the_gradients_of_a_group(context: ExperimentContext) -> None:
    """Two batches of 4 make the update of one batch of 8 (no batch norm, equal sizes), up to rounding."""

    def trained(batch_size: int, accumulation: int) -> tuple[Tensor, int]:
        torch.manual_seed(0)
        model = nn.Linear(6, 4)
        trainer = Trainer(
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            loader=make_loaders(batch_size=batch_size)["train"],
            loss=CrossEntropy(),
            gradient_accumulation_steps=accumulation,
        )
        return model.weight, _train(trainer, context, epochs=2).step

    (small, small_steps), (large, large_steps) = trained(4, 2), trained(8, 1)
    assert small_steps == large_steps == 10
    torch.testing.assert_close(small, large, rtol=0, atol=1e-6)


def test_an_incomplete_group_is_averaged_over_what_it_has(context: ExperimentContext) -> None:
    """Five batches in groups of two make three updates; the last one has the gradient of one batch, not half of it."""
    gradients = []

    class Watch:
        def on_step_end(self, state: State, output: StepOutput) -> None:
            weight: Any = state.model.weight
            gradients.append(weight.grad.clone())

    def run(accumulation: int) -> list[Tensor]:
        gradients.clear()
        torch.manual_seed(0)
        model = nn.Linear(6, 4)
        trainer = Trainer(
            model,
            torch.optim.SGD(model.parameters(), lr=1e-12),
            loader=make_loaders()["train"],
            loss=CrossEntropy(),
            gradient_accumulation_steps=accumulation,
        )
        _train(trainer, context, callbacks=[Watch()])
        return list(gradients)

    single, grouped = run(1), run(2)
    assert (len(single), len(grouped)) == (5, 3)
    torch.testing.assert_close(grouped[0], (single[0] + single[1]) / 2)
    torch.testing.assert_close(grouped[2], single[4])


def test_clipping_limits_norm_and_value(context: ExperimentContext) -> None:
    """After clipping, no gradient is larger than was asked for."""
    seen: list[float] = []

    class Watch:
        def on_step_end(self, state: State, output: StepOutput) -> None:
            parts = [parameter.grad.flatten() for parameter in state.model.parameters() if parameter.grad is not None]
            seen.append(float(torch.cat(parts).norm()))

    _train(_trainer(make_model(), clip_gradient_norm=0.01), context, callbacks=[Watch()])
    assert max(seen) <= 0.01 * (1 + 1e-5)
    seen.clear()
    _train(_trainer(make_model(), clip_gradient_value=1e-4), context, callbacks=[Watch()])
    assert 0 < max(seen) <= 1e-4 * sum(p.numel() for p in make_model().parameters()) ** 0.5


def test_steps_per_epoch_goes_on_where_the_epoch_before_ended(context: ExperimentContext) -> None:
    """Epochs of three steps over five batches see the batches of full passes, in order, none twice."""
    seen: list[Tensor] = []

    def watching(model: nn.Module, batch: Any) -> StepOutput:
        seen.append(batch[0])
        return SupervisedStep(CrossEntropy())(model, batch)

    state = _train(_trainer(make_model(), step=watching), context, epochs=4, steps_per_epoch=3)
    loader = make_loaders()["train"]
    passes = [inputs for data_pass in range(3) for inputs, _ in loader.epoch(data_pass)]
    assert state.step == len(seen) == 12
    assert all(torch.equal(one, other) for one, other in zip(seen, passes, strict=False))


def test_a_scheduler_moves_once_per_update_or_once_per_epoch(context: ExperimentContext) -> None:
    """With accumulation it counts updates, not batches."""
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.5)
    trainer = _trainer(
        model, optimizer=optimizer, lr_scheduler=scheduler, lr_scheduler_interval="step", gradient_accumulation_steps=2
    )
    _train(trainer, context)
    assert optimizer.param_groups[0]["lr"] == 0.5**3
    trainer.end_epoch({})
    assert optimizer.param_groups[0]["lr"] == 0.5**3

    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    trainer = _trainer(model, optimizer=optimizer, lr_scheduler=StepLR(optimizer, step_size=1, gamma=0.5))
    _train(trainer, context)
    assert optimizer.param_groups[0]["lr"] == 1.0
    trainer.end_epoch({})
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_a_plateau_scheduler_reads_its_metric(context: ExperimentContext) -> None:
    """It moves by the score it watches, and a config without one is refused."""
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, patience=0, factor=0.1)
    trainer = _trainer(model, optimizer=optimizer, lr_scheduler=scheduler, lr_scheduler_metric="val/loss")
    for loss in (1.0, 2.0):
        trainer.end_epoch({"val/loss": loss})
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
    with pytest.raises(TrainingError, match="needs a `lr_scheduler_metric`"):
        _trainer(model, lr_scheduler=scheduler)


class Pair(nn.Module):
    """Two scalars that pull on each other."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(1.0))
        self.b = nn.Parameter(torch.tensor(1.0))


def test_turns_update_only_their_own_parameters(context: ExperimentContext) -> None:
    """A gradient that reaches another optimizer's parameter is dropped, and `every` skips turns."""
    model = Pair()
    b_before_a_moves: list[float] = []

    def step_a(model: Any, batch: Any) -> StepOutput:
        b_before_a_moves.append(float(model.b.detach()))
        return StepOutput(model.a * model.b)

    def step_b(model: Any, batch: Any) -> StepOutput:
        return StepOutput(model.a * -model.b)

    turns = [
        Turn(step_a, torch.optim.SGD([model.a], lr=0.1)),
        Turn(step_b, torch.optim.SGD([model.b], lr=0.1), every=2),
    ]
    trainer = Trainer(model, step=AlternatingStep(turns), loader=make_loaders()["train"])
    _train(trainer, context)
    a = b = 1.0
    for step in range(5):
        a -= 0.1 * b
        if step % 2 == 0:
            b += 0.1 * a
    assert float(model.a.detach()) == pytest.approx(a)
    assert float(model.b.detach()) == pytest.approx(b)
    assert b_before_a_moves[1] == b_before_a_moves[2]


def test_contradicting_parts_are_refused() -> None:
    """Each error says what to leave out or to add."""
    model = Pair()
    turn = Turn(lambda model, batch: StepOutput(torch.zeros(())), torch.optim.SGD([model.a], lr=0.1))
    loader = make_loaders()["train"]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TrainingError, match="leave the trainer's `optimizer` out"):
        Trainer(model, optimizer, loader=loader, step=AlternatingStep([turn]))
    with pytest.raises(TrainingError, match="needs an `optimizer`"):
        Trainer(model, loader=loader, loss=CrossEntropy())
    with pytest.raises(TrainingError, match="needs a `loss`, or a `step`"):
        Trainer(model, optimizer, loader=loader)
    with pytest.raises(TrainingError, match="does not go with several turns"):
        Trainer(model, loader=loader, step=AlternatingStep([turn, turn]), gradient_accumulation_steps=2)
    with pytest.raises(TrainingError, match="needs a turn with `every: 1`"):
        AlternatingStep([Turn(turn.step, turn.optimizer, every=2)])


def test_a_stop_takes_effect_after_a_complete_update(context: ExperimentContext) -> None:
    """The step during which it was asked for is finished and counted."""

    class StopAtThree:
        def on_step_end(self, state: State, output: StepOutput) -> None:
            state.context.stop.requested = state.step == 3

    trainer = _trainer(make_model())
    with pytest.raises(Interrupted, match="after step 3"):
        _train(trainer, context, callbacks=[StopAtThree()])
    assert all(int(state["step"]) == 3 for state in trainer.optimizers[0].state.values())


def test_the_device_is_not_asked_for_numbers_per_step(
    context: ExperimentContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many steps an epoch has, no number is read from the device; a step that reads one shows."""
    reads = 0

    def count(name: str) -> None:
        real = getattr(Tensor, name)

        def counted(self: Tensor, *arguments: Any) -> Any:
            nonlocal reads
            reads += 1
            return real(self, *arguments)

        monkeypatch.setattr(Tensor, name, counted)

    for name in ("item", "__float__", "__int__", "__bool__", "tolist"):
        count(name)
    # SGD, since Adam's own step counter is a tensor on the CPU that it may read.
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = _trainer(model, optimizer=optimizer, loader=make_loaders(400, 4)["train"])
    warmed_up = reads
    _train(trainer, context)
    first_epoch = reads - warmed_up
    _train(trainer, context)
    assert reads - warmed_up - first_epoch == 0

    def reading(model: nn.Module, batch: Any) -> StepOutput:
        output = SupervisedStep(CrossEntropy())(model, batch)
        float(output.loss.detach())
        return output

    before = reads
    _train(_trainer(model, optimizer=optimizer, step=reading, loader=make_loaders(400, 4)["train"]), context)
    assert reads - before > 100


def test_progress_is_told_at_most_ten_times_an_epoch(context: ExperimentContext) -> None:
    """Long epochs are not flooded with reports, short ones report each batch."""
    told: list[int] = []
    _train(_trainer(make_model(), loader=make_loaders(1000, 8)["train"]), context, progress=told.append)
    assert told == [13 * i for i in range(1, 10)]
    told.clear()
    _train(_trainer(make_model(), loader=make_loaders(19 * 8, 8)["train"]), context, progress=told.append)
    assert told == [2 * i for i in range(1, 10)]
    told.clear()
    _train(_trainer(make_model()), context, progress=told.append)
    assert told == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_trains_with_parameters_in_fp32(context: ExperimentContext, precision: Any) -> None:
    """Forward passes run in the format asked for; parameters and their gradients stay fp32; the loss goes down."""
    seen: set[torch.dtype] = set()
    losses: list[float] = []

    def watching(model: nn.Module, batch: Any) -> StepOutput:
        output = SupervisedStep(CrossEntropy())(model, batch)
        seen.add(output.predictions["prediction"].dtype)
        losses.append(float(output.loss.detach()))
        return output

    model = make_model()
    _train(_trainer(model, step=watching, precision=precision, clip_gradient_norm=1.0), context, epochs=6)
    assert seen == {torch.bfloat16 if precision == "bf16" else torch.float16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert losses[-1] < losses[0] / 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiling_trains_the_same_model(context: ExperimentContext) -> None:
    """The compiled model shares its parameters with the one that is saved."""
    torch.manual_seed(0)
    model = nn.Linear(6, 4)
    before = model.weight.detach().clone()
    _train(_trainer(model, compile=True), context)
    assert not torch.equal(model.weight, before)
    assert list(model.state_dict()) == ["weight", "bias"]


def test_accumulation_weighs_each_sample_the_same(context: ExperimentContext) -> None:
    """Batches of 8 and 2 make the update of a batch of 10."""
    together, apart = (nn.Linear(6, 4) for _ in range(2))
    apart.load_state_dict(together.state_dict())
    for model, size, steps in ((together, 10, 1), (apart, 8, 2)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        loader = make_loaders(10, size)["train"]
        _train(_trainer(model, optimizer=optimizer, loader=loader, gradient_accumulation_steps=steps), context)
    assert torch.allclose(together.weight, apart.weight, atol=1e-6)


def test_lbfgs_fits_least_squares_in_one_step(context: ExperimentContext) -> None:
    """Its closure measures the batch again at each point that it tries."""
    model = nn.Linear(6, 4)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=50, line_search_fn="strong_wolfe")
    (batch,) = make_loaders(40, 40)["train"].epoch(0)
    before = nn.functional.cross_entropy(model(batch[0]), batch[1])
    state = _train(_trainer(model, optimizer=optimizer, loader=make_loaders(40, 40)["train"]), context)
    after = nn.functional.cross_entropy(model(batch[0]), batch[1])
    assert state.step == 1
    assert float(after.detach()) < 0.05 * float(before.detach())


def test_lbfgs_with_accumulation_is_refused() -> None:
    """The closure sees one batch, so several cannot make an update."""
    model = nn.Linear(6, 4)
    with pytest.raises(TrainingError, match="larger `batch_size`"):
        _trainer(model, optimizer=torch.optim.LBFGS(model.parameters()), gradient_accumulation_steps=2)


@pytest.mark.parametrize("setting", ["parallelism: {use: ddp}", "gradient_accumulation_steps: 2", "precision: fp16"])
def test_a_config_is_told_what_lbfgs_does_not_go_with(setting: str) -> None:
    """When it is checked, at the setting, before anything is started; other optimizers go with all of it."""
    config = {
        "version": 1,
        "extends": "preset/classification",
        "components": {
            "data": {"use": "digits"},
            "model": {"use": "mlp", "hidden": [4]},
            "optimizer": {"use": {"sweep": ["adam", "lbfgs"]}, "model": "$model", "lr": 0.1},
            "trainer": yaml.safe_load(setting),
        },
        "experiment": {"epochs": 1},
    }
    with pytest.raises(ConfigError) as refused:
        check(load(config))
    (fault,) = refused.value.faults
    assert fault.path == f"components.trainer.{setting.partition(':')[0]}"
    assert "`lbfgs`" in fault.message
    assert len(check(load(config, ["optimizer.use=adam"]))) == 1


def test_a_function_is_a_loss_and_a_torch_loader_follows_the_seed(context: ExperimentContext) -> None:
    """Neither needs a class of MLgym's; another seed gives another order."""
    loader: DataLoader[Any] = DataLoader(make_data(40), 8, shuffle=True)
    orders = []
    for seed in (0, 0, 1):
        trainer = _trainer(make_model(), loss=nn.functional.cross_entropy, loader=loader, seed=seed)
        _train(trainer, context)
        orders.append(trainer.order_digest(0, 5))
    assert orders[0] == orders[1] != orders[2]
