"""What each of several processes does in the tests of this folder: `python -m tests.training.parallel.ranks N FOLDER`.

All scenarios run one after the other in one group of gloo; each rank writes what they gave to `rank_R.json`. Ranks are
forked from a process that has imported everything.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
import torch._dynamo  # optimizers import it, each rank for itself if nobody did before
from torch import Tensor, nn

from mlgym.components.data import AdaptedLoader
from mlgym.components.step import AlternatingStep, Turn
from mlgym.components.tensors import StepOutput
from mlgym.errors import TrainingError
from mlgym.training import World, prepare_process
from mlgym.training.parallelism import DataParallel, FullySharded
from mlgym.training.trainer import Trainer
from tests.training.parallel.experiments import (
    Answer,
    Centred,
    Noisy,
    Plain,
    Sampling,
    context,
    make_data,
    make_loaders,
    resumed,
    run,
    training,
)
from tests.training.parallel.experiments import stopped as stop_in

Scenario = Callable[[Path, World], Any]
SCENARIOS: Final[dict[str, Scenario]] = {}
FOR_FOUR: Final = ("plainly", "in_any_order", "mean_of_means", "sampling", "stopped", "witnessed")
"""Those that four processes do; two do all."""

PLAINLY: Final[dict[str, Any]] = {
    "rhythm": {"digest_every_n_steps": 2, "evaluate_before_training": True},
    "scheduler": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5),
    "lr_scheduler_interval": "step",
}
RUNNING: Final[dict[str, Any]] = {"rhythm": {"steps_per_epoch": 4}, "epochs": 3, "num_samples": 40}
CLIPPED: Final[dict[str, Any]] = {"clip_gradient_norm": 0.1, "clip_gradient_value": 0.05}
FUSED: Final[dict[str, Any]] = {"optimizer": lambda parameters: torch.optim.Adam(parameters, 0.01, fused=True)}
NOISY: Final[dict[str, Any]] = {"model": Noisy, "epochs": 3, "drop_last": True}


def scenario(function: Scenario) -> Scenario:
    """Has a function run in every process."""
    SCENARIOS[function.__name__] = function
    return function


def ways() -> dict[str, Any]:
    """Gives the ways in which devices share an experiment."""
    return {"ddp": DataParallel(bucket_mb=0.0005), "units": FullySharded(min_unit_parameters=100)}


def in_each_way(folder: Path, world: World, **changes: Any) -> Answer:
    """Runs one experiment in each way."""
    return {
        name: run(training(parallelism=way, **changes), context(folder / name, world)) for name, way in ways().items()
    }


@scenario
def plainly(folder: Path, world: World) -> Answer:
    """Trains with a last batch that is not full, digests within epochs, and a scheduler that counts steps."""
    more = {"default": None, "fsdp": FullySharded(units=[])}
    answers = {
        name: run(training(parallelism=way, **PLAINLY), context(folder / name, world)) for name, way in more.items()
    }
    return answers | in_each_way(folder, world, **PLAINLY)


@scenario
def running_epochs(folder: Path, world: World) -> Answer:
    """Epochs of four steps, of the five that the data is enough for, which go on where the one before ended."""
    return in_each_way(folder, world, **RUNNING)


@scenario
def accumulated(folder: Path, world: World) -> Answer:
    """Two batches an update: gradients are summed over processes once an update, and buffers given to all as often."""
    return in_each_way(
        folder, world, model=Centred, gradient_accumulation_steps=2, optimizer=lambda p: torch.optim.SGD(p, 0.1, 0.9)
    )


@scenario
def clipped(folder: Path, world: World) -> Answer:
    """The norm of all gradients, wherever they are."""
    return in_each_way(folder, world, **CLIPPED)


@scenario
def in_bf16(folder: Path, world: World) -> Answer:
    """Autocast."""
    return in_each_way(folder, world, precision="bf16")


@scenario
def in_fp16(folder: Path, world: World) -> Answer:
    """Autocast, with losses that are scaled."""
    return in_each_way(folder, world, precision="fp16")


@scenario
def params_in_bf16(folder: Path, world: World) -> Answer:
    """Parameters that travel in bf16."""
    way = FullySharded(units=[], param_dtype="bf16")
    return run(training(parallelism=way, precision="bf16"), context(folder, world))


@scenario
def fused(folder: Path, world: World) -> Answer:
    """Optimizers whose kernels on the CPU treat the end of a tensor otherwise than the rest."""
    return in_each_way(folder, world, **FUSED)


@scenario
def in_any_order(folder: Path, world: World) -> Answer:
    """The control of the order of sums."""
    ways = {
        "ddp": DataParallel(sum_in_rank_order=False),
        "fsdp": FullySharded(units=[], sum_in_rank_order=False),
    }
    return {name: run(training(parallelism=way), context(folder / name, world)) for name, way in ways.items()}


@scenario
def mean_of_means(folder: Path, world: World) -> Answer:
    """The control of the weights: each process counts the same, however many samples it has."""
    experiment = training(parallelism=DataParallel())
    experiment.trainer.parts = lambda *place: float(world.size)  # type: ignore[method-assign]  # in this process
    return run(experiment, context(folder, world))


@scenario
def noisily(folder: Path, world: World) -> Answer:
    """Dropout and running statistics: other draws in each process."""
    return in_each_way(folder, world, **NOISY)


@scenario
def sampling(folder: Path, world: World) -> Answer:
    """A model that draws in evaluation, which is done without training."""
    return run(training(model=Sampling, epochs=0, rhythm={"evaluate_before_training": True}), context(folder, world))


@scenario
def brought_along(folder: Path, world: World) -> Answer:
    """Batches of a torch loader of the user's, which are cut."""
    sampler = torch.utils.data.SubsetRandomSampler(range(40))
    loader = torch.utils.data.DataLoader(torch.utils.data.Subset(make_data(), range(40)), 8, sampler=sampler)
    loaders = {"train": AdaptedLoader(loader, seed=2), "val": AdaptedLoader(loader, seed=3)}
    return run(training(loaders=loaders), context(folder, world))


@scenario
def stopped(folder: Path, world: World) -> Answer:
    """Is asked to stop in the last process alone, within the second epoch, and goes on."""
    answer = {}
    for name in ("ddp", "units"):
        way = ways()[name]
        uninterrupted = run(training(parallelism=way, **NOISY), context(folder / name / "whole", world))
        first = stop_in(folder / name, world, rank=world.size - 1, step=7, parallelism=way, **NOISY)
        answer[name] = [uninterrupted, first, resumed(folder / name, world, parallelism=way, **NOISY)]
    return answer


@scenario
def begun_together(folder: Path, world: World) -> Answer:
    """Stops within an epoch, for one process to go on with."""
    return stop_in(folder, world, rank=0, step=8, epochs=3)


@scenario
def unequal_wishes(folder: Path, world: World) -> Answer:
    """Checkpoints by time, where clocks differ: rank 0 alone finds that it is time."""
    rhythm = {"checkpoint_every_s": 1e-6 if world.is_main else 1e6}
    return run(training(rhythm=rhythm), context(folder, world))


@scenario
def adversaries(folder: Path, world: World) -> Answer:
    """Two optimizers that take turns, through parts of the model that no forward pass of the whole calls."""
    answer = {}
    for name, way in ways().items():
        torch.manual_seed(2)
        model = nn.ModuleDict({"maker": Plain(), "judge": nn.Linear(3, 1)})
        turns = [
            Turn(_judge, torch.optim.Adam(model["judge"].parameters(), 0.01)),
            Turn(_fool, torch.optim.Adam(model["maker"].parameters(), 0.01), every=2),
        ]
        trainer = Trainer(model, step=AlternatingStep(turns), loader=make_loaders(8)["train"], parallelism=way)
        experiment = training(evaluate=False)
        experiment.trainer = trainer
        answer[name] = run(experiment, context(folder / name, world))
    return answer


def _judge(model: Any, batch: Any) -> StepOutput:
    inputs, _ = batch
    with torch.no_grad():
        made = model["maker"](inputs)
    return StepOutput((model["judge"](made) - inputs[:, :1]).square().mean())


def _fool(model: Any, batch: Any) -> StepOutput:
    inputs, _ = batch
    made: Tensor = model["maker"](inputs)
    return StepOutput((model["judge"](made) + model["judge"](made * 2)).mean())


class _Thawed:
    """A callback that trains the first layer from the second epoch on."""

    def on_experiment_start(self, state: Any) -> None:
        state.model.layers[0].requires_grad_(False)

    def on_epoch_end(self, state: Any) -> None:
        state.model.layers[0].requires_grad_(True)


@scenario
def thawed(folder: Path, world: World) -> Answer:
    """Parameters that are frozen at first."""
    return in_each_way(folder, world, rhythm={"callbacks": [_Thawed()]})


class _Witness:
    """A callback that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_step_end(self, state: Any, output: StepOutput) -> None:
        self.heard.append(f"step {state.step} lr {state.optimizers[0].param_groups[0]['lr']:.6f}")

    def on_evaluation(self, state: Any, scores: dict[str, float]) -> None:
        self.heard.append(f"scores {sorted((name, repr(value)) for name, value in scores.items())}")

    def on_checkpoint(self, state: Any, path: Path) -> None:
        self.heard.append(f"checkpoint {path.name} at {state.step}")


@scenario
def witnessed(folder: Path, world: World) -> list[str]:
    """Callbacks of all processes hear the same."""
    witness = _Witness()
    rhythm = {"callbacks": [witness], "checkpoint_every_n_steps": 4}
    run(
        training(
            rhythm=rhythm,
            scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
            lr_scheduler_interval="step",
        ),
        context(folder, world),
    )
    return witness.heard


@scenario
def refusals(folder: Path, world: World) -> dict[str, str]:
    """What cannot be shared says so, in all processes."""
    tried: dict[str, Callable[[], Any]] = {
        "lbfgs": lambda: training(optimizer=lambda p: torch.optim.LBFGS(list(p))),
        "small batches": lambda: training(batch_size=world.size - 1),
        "lazy": lambda: training(model=lambda: nn.LazyLinear(3), evaluate=False),
        "unit": lambda: training(parallelism=FullySharded(units=["Linaer"])),
        "unused": lambda: training(model=_Forgetful, parallelism=DataParallel()),
        "apart": lambda: training(parallelism=FullySharded(units=[])),
        "whole": lambda: training(parallelism=FullySharded(units=[]), optimizer=torch.optim.Rprop),
    }
    said = {}
    for name, make in tried.items():
        where = folder / name / (str(world.rank) if name == "apart" else "")
        try:
            run(make(), context(where, world))
            said[name] = "nothing"
        except TrainingError as error:
            said[name] = str(error).replace(str(where), "FOLDER")
    return said


class _Forgetful(Plain):
    """Has a layer that no step uses."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 2)


@scenario
def unused(folder: Path, world: World) -> Answer:
    """A layer that no step uses, admitted."""
    way = DataParallel(find_unused_parameters=True)
    return run(training(model=_Forgetful, parallelism=way), context(folder, world))


@scenario
def resharded(folder: Path, world: World) -> Answer:
    """Goes on with an experiment that one process began."""
    return resumed(folder.parent / "begun_alone", world, epochs=3, parallelism=FullySharded(units=[]))


def main(size: int, folder: Path) -> int:
    """Runs all scenarios in `size` processes; gives how many of these failed."""
    prepare_process(threads=1)
    children = []
    for rank in range(size):
        child = os.fork()
        if child == 0:
            try:
                be(World(rank, size, rank), folder)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


def be(world: World, folder: Path) -> None:
    """Is one of the processes."""
    answers: dict[str, Any] = {}
    with world.group("cpu", timeout_s=60.0):
        for name in SCENARIOS if world.size == 2 else FOR_FOUR:
            answers[name] = SCENARIOS[name](folder / name, world)
    (folder / f"rank_{world.rank}.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
