"""What checkpoints and digests cost training: how long its thread is blocked for a checkpoint of 120 MiB.

Model and Adam's state together have 120 MiB. Every contender leaves a durable file (fsync); those that write beside
training are waited for outside the clock, since there is a minute between two checkpoints. The copy alone is the least
that anything can block that lets training go on. Contenders take turns; medians. Wall time: fsync waits.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch import Tensor, nn

from mlgym.components.data import TensorData, data_loaders
from mlgym.components.loss import CrossEntropy
from mlgym.components.model import ConvNet
from mlgym.components.model.layers import Conv, Linear
from mlgym.events.sink import NullSink
from mlgym.training import ExperimentContext, Training, prepare_process
from mlgym.training.digest import digest
from mlgym.training.loop import Epoch, Gear, train_epoch
from mlgym.training.session import Session
from mlgym.training.trainer import Trainer
from report import print_rows, verdict
from scratch import scratch

BLOCKED_GOAL_MS = 30.0
SHARE_GOAL_PERCENT = 1.0
DIGEST_GOAL_PERCENT = 0.5
EVERY_S = 60.0

Blocking = Callable[[int], Callable[[], None]]
"""Saves number n; gives what waits until it is on the disk."""


def session_of(model: nn.Module, data: TensorData, folder: Path, batch_size: int) -> Session:
    """Gives an experiment with Adam whose optimizer has a state, ready to be saved."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loaders = data_loaders({"train": data}, batch_size, seed=1)
    training = Training(Trainer(model, optimizer, loader=loaders["train"], loss=CrossEntropy()), epochs=1)
    context = ExperimentContext("run", 0, folder, seed=1, device="cpu", sink=NullSink())
    session = Session(training, context)
    model.train()
    inputs, targets = data.batch(torch.arange(batch_size))
    nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
    return session


def large_model() -> nn.Sequential:
    """Gives a model of 10.5 million parameters: 40 MiB, 120 with both moments of Adam."""
    return nn.Sequential(*(nn.Linear(648, 648) for _ in range(25)))


def state_of(session: Session) -> dict[str, Any]:
    """Gives model and optimizer as peers save them."""
    return {"model": session.training.model.state_dict(), "optimizer": session.trainer.optimizers[0].state_dict()}


def tensors_of(session: Session) -> dict[str, Tensor]:
    """Gives the same as named tensors, as safetensors wants it."""
    state = state_of(session)
    moments = state["optimizer"]["state"]
    return dict(state["model"]) | {f"{place}.{name}": one for place in moments for name, one in moments[place].items()}


def sync(path: Path) -> None:
    """Waits until a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def contenders(session: Session, folder: Path) -> dict[str, Blocking]:
    """Gives every way to save, by name."""
    names = iter(range(10**6))

    def ours(number: int) -> Callable[[], None]:
        session.state.step = number + 1
        session.checkpoints._take(("measured",), (), regular=False)
        return session.checkpoints.writer.wait

    def torch_save(number: int) -> Callable[[], None]:
        torch.save(state_of(session), folder / "torch.pt")
        sync(folder / "torch.pt")
        return _nothing

    def safetensors(number: int) -> Callable[[], None]:
        save_file(tensors_of(session), folder / "peer.safetensors")
        sync(folder / "peer.safetensors")
        return _nothing

    def dcp_save(number: int) -> Callable[[], None]:
        dcp.save(state_of(session), checkpoint_id=folder / f"dcp-{next(names)}")
        return _nothing

    def dcp_async(number: int) -> Callable[[], None]:
        future: Any = dcp.async_save(state_of(session), checkpoint_id=folder / f"dcp-{next(names)}")
        return lambda: future.result()

    buffers = {name: torch.empty_like(tensor) for name, tensor in tensors_of(session).items()}

    def copy(number: int) -> Callable[[], None]:
        for name, tensor in tensors_of(session).items():
            buffers[name].copy_(tensor.detach())
        return _nothing

    return {
        "mlgym": ours,
        "copy into a buffer alone (limit)": copy,
        "torch.save and fsync": torch_save,
        "safetensors save_file and fsync": safetensors,
        "torch.distributed.checkpoint save": dcp_save,
        "torch.distributed.checkpoint async_save": dcp_async,
    }


def _nothing() -> None:
    return None


def blocked_rows(*, num_rounds: int) -> list[dict[str, Any]]:
    """Measures how long each contender keeps the training thread."""
    with scratch() as folder:
        data = TensorData(torch.randn(64, 648), torch.arange(64) % 10)
        session = session_of(large_model(), data, folder, 64)
        num_bytes = sum(tensor.nbytes for tensor in tensors_of(session).values())
        saves = contenders(session, folder)
        times: dict[str, list[float]] = {}
        totals: dict[str, list[float]] = {}
        for number in range(num_rounds + 1):
            for name, save in saves.items():
                before = time.perf_counter()
                wait = save(number)
                blocked = time.perf_counter() - before
                wait()
                total = time.perf_counter() - before
                # The first one allocates the buffers, and fills caches.
                key = name if number else f"{name}, the first one"
                times.setdefault(key, []).append(1e3 * blocked)
                totals.setdefault(key, []).append(1e3 * total)
            for old in [*folder.glob("dcp-*"), *(folder / "0" / "checkpoints").glob("epoch_*")]:
                shutil.rmtree(old)
    rows = []
    for name in [*saves, "mlgym, the first one"]:
        found = times[name]
        blocked = statistics.median(found)
        share = blocked / 1e3 / EVERY_S * 100
        rows.append({
            "table": f"Training blocked by a checkpoint of {num_bytes / 2**20:.0f} MiB",
            "contender": name,
            "blocked ms": f"{blocked:.1f}",
            "lowest ms": f"{min(found):.1f}",
            "until on the disk ms": f"{statistics.median(totals[name]):.0f}",
            "of training at one a minute": f"{share:.2f} %",
            "goal": verdict(blocked, BLOCKED_GOAL_MS, " ms") if name == "mlgym" else "",
            "its goal": verdict(share, SHARE_GOAL_PERCENT, " %") if name == "mlgym" else "",
        })  # fmt: skip
    return rows


def digest_rows(*, num_rounds: int) -> list[dict[str, Any]]:
    """Measures digests of the ConvNet example against its epoch, estimated from some of its steps."""
    num_train, batch_size, num_steps = 42_000, 100, 30
    rows = []
    with scratch() as folder:
        torch.manual_seed(0)
        data = TensorData(torch.randn(num_steps * batch_size, 1, 28, 28), torch.arange(num_steps * batch_size) % 10)
        model = ConvNet([Conv(32), Conv(64), Linear(128), Linear(10)], in_shape=[1, 28, 28])
        session = session_of(model, data, folder, batch_size)
        losses = torch.rand(num_train // batch_size)
        steps, whole, alone = [], [], []
        for _ in range(num_rounds):
            steps.append(_timed(lambda: _train(session, num_steps)) / num_steps)
            whole.append(
                _timed(
                    lambda: session.reporter.digest(
                        session.state, session.contents(), losses, batches_per_step=1, order=""
                    )
                )
            )
            alone.append(_timed(lambda: digest(state_of(session))))
    epoch_s = statistics.median(steps) * (num_train // batch_size)
    for name, found in (("Reporter.digest: the event of an epoch", whole), ("digest() of model and Adam alone", alone)):
        share = statistics.median(found) / epoch_s * 100
        rows.append({
            "table": f"Digests beside an epoch of examples/mnist_conv_net, {num_train:,} images by {batch_size}",
            "what": name,
            "ms": f"{1e3 * statistics.median(found):.1f}",
            "epoch s (estimated)": f"{epoch_s:.1f}",
            "share": f"{share:.3f} %",
            "goal": verdict(share, DIGEST_GOAL_PERCENT, " %"),
        })  # fmt: skip
    return rows


def _train(session: Session, num_steps: int) -> None:
    gear = Gear(session.updates, None, session.training.hooks, session, lambda done: None)
    train_epoch(session.trainer, session.state, Epoch(num_steps), gear)


def _timed(work: Callable[[], Any]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives all results, one dict a row; `table` says which rows belong together."""
    prepare_process(threads=1)
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    started_here = not dist.is_initialized()
    if started_here:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        return [*blocked_rows(num_rounds=2 if quick else 9), *digest_rows(num_rounds=2 if quick else 7)]
    finally:
        if started_here:
            dist.destroy_process_group()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    print_rows(rows(quick=parser.parse_args().quick))
