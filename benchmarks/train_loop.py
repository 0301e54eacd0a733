"""What a training step costs beside a raw PyTorch loop, in CPU time, paired in one process.

Two workloads: a tiny MLP (64-64-10, batch 32, Adam) on digits, where the loop is most of the cost, and a ConvNet of
MNIST's size (32 and 64 channels, fc 128, batch 64), where it should not show. Each contender trains the same model on
the same data for the same number of steps; contenders take turns, in another order each round, and the table shows the
median of the ratios to the raw DataLoader loop of the same round, with the quartiles, which tell how noisy it was.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mlgym.components.data import TensorData, data_loaders
from mlgym.components.loss import CrossEntropy
from mlgym.events.sink import NullSink
from mlgym.training import ExperimentContext, Training, prepare_process
from mlgym.training.trainer import Trainer
from report import verdict

Contender = Callable[[], None]
SEED = 0
RAW = "raw DataLoader loop"
HOOKED = "MLgym, DataLoader, every hook in use"
IN_MEMORY = "MLgym, in memory"
DEFAULT = "MLgym, in memory, fused Adam (default)"
GOALS = {
    ("mlp", HOOKED): 1.10,
    ("mlp", IN_MEMORY): 0.75,
    ("mlp", DEFAULT): 0.75,
    ("conv_net", HOOKED): 1.02,
    ("conv_net", DEFAULT): 1.02,
}
START_UP_GOAL_S = 0.3


class Workload:
    """One model with its data."""

    def __init__(self, name: str, make_model: Callable[[], nn.Module], inputs: torch.Tensor, batch_size: int) -> None:
        self.name = name
        self.make_model = make_model
        self.inputs = inputs  # (samples, ...)
        self.targets = torch.arange(len(inputs)) % 10  # (samples,)
        self.batch_size = batch_size

    @property
    def num_steps(self) -> int:
        return -(-len(self.inputs) // self.batch_size)

    def data_loader(self) -> DataLoader[Any]:
        generator = torch.Generator().manual_seed(SEED)
        return DataLoader(TensorDataset(self.inputs, self.targets), self.batch_size, shuffle=True, generator=generator)

    def parts(self, *, fused: bool | None = None) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(SEED)
        model = self.make_model()
        return model, torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def workloads(quick: bool) -> list[Workload]:
    generator = torch.Generator().manual_seed(SEED)
    small = torch.randn(1600 if quick else 8000, 64, generator=generator)
    images = torch.randn(320 if quick else 1280, 1, 28, 28, generator=generator)
    return [Workload("mlp", mlp, small, 32), Workload("conv_net", conv_net, images, 64)]


def raw(workload: Workload, *, fused: bool | None = None) -> Contender:
    model, optimizer = workload.parts(fused=fused)
    loader = workload.data_loader()
    loss_of = nn.CrossEntropyLoss()

    def epoch() -> None:
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad(set_to_none=True)
            loss_of(model(inputs), targets).backward()
            optimizer.step()

    return epoch


def raw_indexed(workload: Workload, *, fused: bool | None = None) -> Contender:
    model, optimizer = workload.parts(fused=fused)
    loss_of = nn.CrossEntropyLoss()

    def epoch() -> None:
        model.train()
        for indices in torch.randperm(len(workload.inputs)).split(workload.batch_size):
            optimizer.zero_grad(set_to_none=True)
            loss_of(model(workload.inputs[indices]), workload.targets[indices]).backward()
            optimizer.step()

    return epoch


class EveryHook:
    """A callback that uses every hook, so that none of them is free."""

    def __init__(self) -> None:
        self.count = 0

    def _count(self, *arguments: Any) -> None:
        self.count += 1

    on_experiment_start = on_epoch_start = on_step_end = on_evaluation = _count
    on_epoch_end = on_checkpoint = on_experiment_end = _count


class KeepNothing:
    """No checkpoints: the contenders beside it write none."""

    def decide(self, candidate: Any, kept: Any) -> Any:
        from mlgym.training import Decision

        return Decision()


def mlgym(workload: Workload, *, in_memory: bool, hooks: bool, fused: bool | None) -> Contender:
    model, optimizer = workload.parts(fused=fused)
    data = TensorData(workload.inputs, workload.targets)
    loader = data_loaders({"train": data}, workload.batch_size, seed=SEED, fast_path=in_memory)["train"]
    trainer = Trainer(model, optimizer, loader=loader, loss=CrossEntropy())
    callbacks = [EveryHook()] if hooks else []
    training = Training(trainer, epochs=1, callbacks=callbacks, checkpoints=KeepNothing())
    context = ExperimentContext("bench", 0, Path("/nonexistent"), seed=SEED, device="cpu", sink=NullSink())
    return lambda: training.run(context)


def accelerate(workload: Workload) -> Contender:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, optimizer = workload.parts()
    model, optimizer, loader = accelerator.prepare(model, optimizer, workload.data_loader())
    loss_of = nn.CrossEntropyLoss()

    def epoch() -> None:
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            accelerator.backward(loss_of(model(inputs), targets))
            optimizer.step()

    return epoch


def fabric(workload: Workload) -> Contender:
    from lightning.fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1)
    model, optimizer = fabric.setup(*workload.parts())
    loader = fabric.setup_dataloaders(workload.data_loader())
    loss_of = nn.CrossEntropyLoss()

    def epoch() -> None:
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            fabric.backward(loss_of(model(inputs), targets))
            optimizer.step()

    return epoch


def lightning(workload: Workload, *, everything_off: bool) -> Contender:
    import lightning as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.optimizer = workload.parts()
            self.loss_of = nn.CrossEntropyLoss()

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            loss = self.loss_of(self.model(batch[0]), batch[1])
            if not everything_off:
                self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return self.optimizer

    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    options: dict[str, Any] = off if everything_off else {"default_root_dir": tempfile.gettempdir()}
    module, loader = Module(), workload.data_loader()

    def epoch() -> None:
        trainer = pl.Trainer(accelerator="cpu", devices=1, max_epochs=1, **options)
        trainer.fit(module, loader)

    return epoch


def ignite(workload: Workload) -> Contender:
    from ignite.engine import create_supervised_trainer

    model, optimizer = workload.parts()
    engine = create_supervised_trainer(model, optimizer, nn.CrossEntropyLoss())
    loader = workload.data_loader()
    return lambda: engine.run(loader, max_epochs=1) and None


def skorch(workload: Workload) -> Contender:
    from skorch import NeuralNetClassifier

    torch.manual_seed(SEED)
    net = NeuralNetClassifier(
        workload.make_model(), criterion=nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=1e-3, train_split=None,
        batch_size=workload.batch_size, iterator_train__shuffle=True, max_epochs=1, verbose=0, warm_start=True,
    ).initialize()  # fmt: skip
    inputs, targets = workload.inputs.numpy(), workload.targets.numpy()
    return lambda: net.partial_fit(inputs, targets) and None


def contenders(workload: Workload) -> dict[str, Contender]:
    """Gives an epoch of each contender that is installed; the first one is the measure of the others."""
    makers: dict[str, Callable[[], Contender]] = {
        RAW: lambda: raw(workload),
        HOOKED: lambda: mlgym(workload, in_memory=False, hooks=True, fused=None),
        "MLgym, DataLoader, fused Adam (default)": lambda: mlgym(workload, in_memory=False, hooks=False, fused=True),
        IN_MEMORY: lambda: mlgym(workload, in_memory=True, hooks=False, fused=None),
        DEFAULT: lambda: mlgym(workload, in_memory=True, hooks=False, fused=True),
        "raw loop that indexes tensors": lambda: raw_indexed(workload),
        "raw loop that indexes tensors, fused Adam": lambda: raw_indexed(workload, fused=True),
        "ignite": lambda: ignite(workload),
        "skorch": lambda: skorch(workload),
        "Lightning Fabric": lambda: fabric(workload),
        "Accelerate": lambda: accelerate(workload),
        "Lightning Trainer, all off": lambda: lightning(workload, everything_off=True),
        "Lightning Trainer, defaults": lambda: lightning(workload, everything_off=False),
    }
    found: dict[str, Contender] = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as error:
            print(f"left out: {name} ({error})", file=sys.stderr)
    return found


@dataclass(frozen=True)
class Measured:
    """What one contender took.

    Args:
        step_ms: median CPU time of a step, in ms.
        ratios: to the raw loop, one of each round, sorted.
    """

    step_ms: float
    ratios: list[float]

    @property
    def ratio(self) -> float:
        """The median ratio."""
        return statistics.median(self.ratios)

    @property
    def quartiles(self) -> str:
        """Lower and upper quartile of the ratios."""
        lower, _, upper = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return f"{lower:.3f} - {upper:.3f}"


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the terminal free of banners, tables and progress bars; who draws them still pays for it."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)  # imported by now: it sets the level to INFO
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        yield


def measure(workload: Workload, rounds: int) -> dict[str, Measured]:
    """Gives what each contender took."""
    running = contenders(workload)
    times: dict[str, list[float]] = {name: [] for name in running}
    names = list(running)
    with quiet():
        for epoch in running.values():
            epoch()
        for _ in range(rounds):
            names = [*names[5:], *names[:5]]
            for name in names:
                gc.collect()
                before = time.process_time()
                running[name]()
                times[name].append(time.process_time() - before)
    return {
        name: Measured(
            step_ms=statistics.median(column) / workload.num_steps * 1e3,
            ratios=sorted(one / base for one, base in zip(column, times[RAW], strict=True)),
        )
        for name, column in times.items()
    }


def start_up(repetitions: int) -> list[dict[str, Any]]:
    """Measures whole processes, imports and commands: the fastest of several, which take turns."""
    with tempfile.TemporaryDirectory() as storage:
        in_storage = [sys.executable, "-m", "mlgym"]
        config = "{version: 1, extends: preset/classification, components: {data: {use: iris}, model: {use: linear}, "
        config += "optimizer: {use: sgd, model: $model, lr: {sweep: [0.1, 0.01]}}}}"
        Path(storage, "config.yml").write_text(config)
        run = [*in_storage, "run", f"{storage}/config.yml", "--storage", storage, "--run-id", "one", "--epochs", "2"]
        subprocess.run(run, capture_output=True, check=True)
        programs = {
            "python, nothing imported": [sys.executable, "-c", ""],
            "import mlgym": [sys.executable, "-c", "import mlgym"],
            "mlgym --help": [*in_storage, "--help"],
            "mlgym runs": [*in_storage, "runs", "--storage", storage],
            "mlgym show (2 experiments)": [*in_storage, "show", "one", "--storage", storage],
            "import torch": [sys.executable, "-c", "import torch"],
        }
        for peer in ("lightning", "accelerate", "ignite", "skorch"):
            if importlib.util.find_spec(peer):
                programs[f"import {peer}"] = [sys.executable, "-c", f"import {peer}"]
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for _ in range(repetitions):
            for name, program in programs.items():
                before = os.times()
                subprocess.run(program, capture_output=True, check=True)
                after = os.times()
                cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
                spent[name].append((cpu_s, after.elapsed - before.elapsed))
    rows = []
    for name, pairs in spent.items():
        cpu_s, wall_s = (min(column) for column in zip(*pairs, strict=True))
        row = {"table": "Start-up", "what": name, "CPU s": f"{cpu_s:.2f}", "wall s": f"{wall_s:.2f}"}
        rows.append(row | {"goal": verdict(cpu_s, START_UP_GOAL_S, " s") if "mlgym " in name else ""})
    return rows


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives the rows of the tables."""
    prepare_process(threads=1, deterministic=False)
    warnings.simplefilter("ignore")
    measured = []
    for workload in workloads(quick):
        rounds = 3 if quick else 21 if workload.name == "mlp" else 13
        for name, found in measure(workload, rounds).items():
            goal = GOALS.get((workload.name, name))
            measured.append({
                "table": f"Training loop, {workload.name}, {workload.num_steps} steps an epoch",
                "what": name,
                "ratio to raw": f"{found.ratio:.3f}",
                "quartiles": found.quartiles,
                "CPU ms per step": f"{found.step_ms:.3f}",
                "goal": "" if goal is None else verdict(found.ratio, goal),
            })  # fmt: skip
    return measured + start_up(2 if quick else 7)


if __name__ == "__main__":
    from report import print_rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds on little data")
    print_rows(rows(quick=parser.parse_args().quick))
