"""The loader that reads sample by sample, here or in worker processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mlgym.components.data import Order, TensorData, WorkerLoader
from mlgym.components.data.global_generators import GeneratorStates
from mlgym.components.data.labels import num_samples_of
from mlgym.errors import TrainingError
from tests.waiting import wait_for

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


class Noisy(Dataset[Any]):
    """Augments with all three global generators."""

    deterministic = False

    def __init__(self, num_samples: int = 22) -> None:
        self.targets = torch.arange(num_samples)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = [float(torch.rand(())), random.random(), np.random.standard_normal(), float(torch.randn(()))]
        return torch.tensor([index, *noise]), index


def make_loader(dataset: Dataset[Any] | None = None, *, sampler: Any = "random", **options: Any) -> WorkerLoader:
    dataset = Noisy() if dataset is None else dataset
    num_samples = num_samples_of(dataset)
    weights = np.linspace(1, 5, num_samples) if sampler == "weighted_random" else None
    return WorkerLoader(dataset, Order(num_samples, sampler, 7, weights), batch_size=4, seed=7, **options)


def read(batches: Iterator[Any]) -> list[Tensor]:
    return [torch.cat([inputs, targets[:, None]], dim=1) for inputs, targets in batches]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("sampler", ["random", "weighted_random", "sequential"])
@pytest.mark.parametrize(
    "workers", [{"num_workers": 1}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}], ids=str
)
def test_any_number_of_workers_gives_the_same_batches(sampler: Any, workers: dict[str, Any]) -> None:
    """Three epochs, whole and taken up half-way, have the same bits with 0, 1, 2 workers, persistent or not."""
    here, there = make_loader(sampler=sampler), make_loader(sampler=sampler, **workers)
    for epoch, start in ((0, 0), (2, 3), (1, 0)):
        torch.rand(epoch + 1)
        assert same(read(here.epoch(epoch, start)), read(there.epoch(epoch, start)))


def test_plain_torch_loader_depends_on_workers() -> None:
    """Control: without our seeding the same dataset gives other batches with another number of workers."""
    results = []
    for num_workers in (0, 1, 2):
        torch.manual_seed(0), random.seed(0), np.random.seed(0)
        results.append(read(iter(DataLoader(Noisy(), batch_size=4, num_workers=num_workers))))
    assert not same(results[0], results[1])
    assert not same(results[1], results[2])


def test_epoch_is_a_pure_function() -> None:
    """An epoch repeats bit for bit after others and after draws from the global generators; epochs differ."""
    loader = make_loader()
    first = read(loader.epoch(3))
    torch.rand(5), random.random(), np.random.rand()
    read(loader.epoch(0))
    assert same(first, read(loader.epoch(3)))
    assert not same(first, read(loader.epoch(4)))


@pytest.mark.parametrize("start", range(7))
def test_start_batch_skips(start: int) -> None:
    """Taken up at any batch, the rest of an epoch is the same, and skipped samples are not read."""
    read_indices: list[int] = []

    class Recording(Noisy):
        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            read_indices.append(index)
            return super().__getitem__(index)

    everything = read(make_loader().epoch(1))
    rest = read(make_loader(Recording()).epoch(1, start))
    assert same(everything[start:], rest)
    assert len(read_indices) == max(0, 22 - 4 * start)


def test_augmentation_differs_between_samples_and_epochs() -> None:
    """No two samples, epochs or seeds share their noise."""
    noise = torch.cat([batch[:, 1:5] for epoch in range(3) for batch in read(make_loader().epoch(epoch))])
    assert len(set(noise.flatten().tolist())) == noise.numel()


def test_sample_drawn_twice_is_augmented_twice() -> None:
    """Sampling with replacement does not repeat the noise of a sample in one epoch."""
    rows = torch.cat(read(make_loader(sampler="weighted_random").epoch(0)))
    assert len(set(rows[:, 0].tolist())) < len(rows)
    assert len(set(rows[:, 1].tolist())) == len(rows)


def global_states() -> list[Any]:
    state = GeneratorStates.capture()
    return [state.python, state.numpy["state"]["key"].tolist(), state.numpy["gauss"], state.torch.tolist()]


@pytest.mark.parametrize("workers", [{}, {"num_workers": 1}, {"num_workers": 1, "persistent_workers": True}], ids=str)
def test_global_generators_are_left_alone(workers: dict[str, Any]) -> None:
    """Neither making an iterator nor reading a batch changes the generators of this process."""
    np.random.standard_normal()
    before = global_states()
    batches = make_loader(**workers).epoch(0)
    next(batches)
    assert global_states() == before
    list(batches)
    assert global_states() == before


def test_plain_torch_iterator_disturbs_the_generator() -> None:
    """Control: making a torch iterator draws from the global generator."""
    before = torch.get_rng_state()
    iter(DataLoader(Noisy(), batch_size=4))
    assert not torch.equal(before, torch.get_rng_state())


class Quiet(Noisy):
    """Says that it draws nothing, and draws."""

    deterministic = True


def test_deterministic_dataset_is_not_seeded() -> None:
    """A dataset that says it draws nothing is read without seeding: no time is spent on it."""
    before = torch.get_rng_state()
    list(make_loader(Quiet()).epoch(0))
    assert not torch.equal(before, torch.get_rng_state())


def test_batched_reading_of_a_deterministic_dataset() -> None:
    """`__getitems__` of a dataset that draws nothing is used, as torch does."""

    class Batched(Quiet):
        def __getitems__(self, indices: list[int]) -> list[Any]:
            return [(torch.full((5,), -1.0), index) for index in indices]

    assert all((batch[:, 0] == -1).all() for batch in read(make_loader(Batched()).epoch(0)))


def test_tuple_and_mapping_batches() -> None:
    """Samples as tuples become tuples, samples as mappings become mappings."""

    class Mappings(Noisy):
        def __getitem__(self, index: int) -> Any:
            return {"x": torch.ones(2), "y": index}

    assert type(next(make_loader().epoch(0))) is tuple
    assert next(make_loader(Mappings()).epoch(0))["x"].shape == (4, 2)


def collate_with_noise(samples: list[Any]) -> Any:
    return torch.stack([inputs for inputs, _ in samples]) + torch.rand(()), torch.tensor([y for _, y in samples])


@pytest.mark.parametrize("dataset", [Noisy(), TensorData(torch.ones(22, 5), torch.arange(22))], ids=["noisy", "plain"])
def test_random_collation_does_not_depend_on_workers(dataset: Any) -> None:
    """A collation that draws is seeded by (seed, epoch, batch), here and in workers."""
    here = make_loader(dataset, collate=collate_with_noise)
    there = make_loader(dataset, collate=collate_with_noise, num_workers=2)
    before = torch.get_rng_state()
    assert same(read(here.epoch(1)), read(there.epoch(1)))
    assert torch.equal(before, torch.get_rng_state())


class Failing(Noisy):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 13:
            raise KeyError("no file")
        return super().__getitem__(index)


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_failing_sample_is_named(num_workers: int, deterministic: bool) -> None:
    """An error while reading says which sample it was, with or without workers and seeding."""
    dataset = Failing()
    dataset.deterministic = deterministic
    with pytest.raises(KeyError) as caught:
        list(make_loader(dataset, num_workers=num_workers).epoch(0))
    notes = " ".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert "while reading sample 13 of Failing in epoch 0" in notes
    # The first line is what tables show.
    assert str(caught.value).splitlines()[0].startswith("'no file'")


def test_persistent_workers_serve_one_epoch_at_a_time() -> None:
    """An older iterator does not silently give batches of a newer epoch."""
    loader = make_loader(num_workers=1, persistent_workers=True)
    old = loader.epoch(0)
    next(old)
    assert same(read(loader.epoch(1)), read(make_loader().epoch(1)))
    with pytest.raises(TrainingError, match="one epoch at a time"):
        next(old)


def test_abandoned_epoch_does_not_leak_into_the_next() -> None:
    """After an epoch that was left half-way, persistent workers give the next one from its beginning."""
    loader = make_loader(num_workers=2, persistent_workers=True)
    next(loader.epoch(0))
    assert same(read(loader.epoch(1)), read(make_loader().epoch(1)))


class Introspecting(Noisy):
    deterministic = True

    def __getitem__(self, index: int) -> Any:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        return torch.tensor([float(ignored), float(default), torch.get_num_threads(), 0, 0]), index


def test_workers_ignore_interrupts_and_use_one_thread() -> None:
    """Ctrl-C is the parent's to handle; its SIGTERM handler is not inherited; each worker computes on one thread."""
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        rows = torch.cat(read(make_loader(Introspecting(), num_workers=1).epoch(0)))
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert (rows[:, :3] == 1).all()


_PARENT = """
import sys, time
import torch
from tests.components.data.test_worker_loader import make_loader
batches = make_loader(num_workers=2, persistent_workers=True).epoch(0)
next(batches)
import torch.multiprocessing as mp
print(*(child.pid for child in mp.active_children()), flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_workers_die_with_their_parent() -> None:
    """After SIGKILL of the process that trains, its loader workers end by themselves."""
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, env=environment, cwd=root)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    assert all(map(is_running, workers))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not any(map(is_running, workers)))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", ["exhausted", "closed", "failed"])
def test_workers_end_with_their_epoch(how: str) -> None:
    """Workers that do not persist are gone as soon as their epoch is, however it ended."""
    others = {child.pid for child in torch.multiprocessing.active_children()}

    def own_children() -> set[int | None]:
        return {child.pid for child in torch.multiprocessing.active_children()} - others

    batches: Any = make_loader(Failing() if how == "failed" else None, num_workers=2).epoch(0)
    next(batches)
    assert len(own_children()) == 2
    if how == "closed":
        batches.close()
    elif how == "failed":
        with pytest.raises(KeyError):
            list(batches)
    else:
        list(batches)
    assert not own_children()


def test_warning_about_forks_is_kept_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.12 warns of a fork beside threads: not of ours, but of the control's."""
    fork = os.fork

    def warn_and_fork() -> int:
        text = "This process (pid=1) is multi-threaded, use of fork() may lead to deadlocks in the child."
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return fork()

    monkeypatch.setattr(os, "fork", warn_and_fork)
    assert len(read(make_loader(num_workers=1).epoch(0))) == 6
    with pytest.raises(DeprecationWarning, match="multi-threaded"):
        iter(DataLoader(Noisy(), batch_size=4, num_workers=1, multiprocessing_context="fork"))
