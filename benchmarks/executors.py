"""What running an experiment costs by the way it is run; and a step of two processes beside a plain loop.

Overhead: the trivial experiments of `experiments.py` (a tiny MLP, 20 steps on digits, an evaluation, a checkpoint), a
few and many of them; the slope is the cost of one, the rest is paid once. Ours write a folder, a config and a synced
log; Ray Tune, joblib and plain subprocesses run the same experiment and write no log, two at a time like ours.

DDP: an MLP (64-512-512-10) on two gloo processes with a thread each. Ours and a plain loop under `torchrun` take turns;
each times its epochs within its processes.

CPU time of the ways is that of everything that was started, as a cgroup counts it, daemons included.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from epoch_times import FOLDER_VARIABLE, EpochTimes

CGROUP = Path("/sys/fs/cgroup/cpuacct/mlgym-benchmark")
DDP_GOAL = 1.03
NUM_AT_A_TIME = 2
MANY = {"inline": 40, "processes": 40, "ray": 24, "ray tune": 24, "joblib": 40, "subprocess": 10}
FEW = 4
STEPS_AN_EPOCH = 100
NUM_WARM = 3
"""Epochs at first that do not count."""


def one_experiment(num_experiments: int, number: int) -> int:
    """Runs one of the trivial experiments in this process, without a log."""
    from experiments import document
    from mlgym.config import check, resolve
    from mlgym.events import NullSink
    from mlgym.training import ExperimentContext, prepare_process, run_experiment

    prepare_process(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        context = ExperimentContext("run", number, Path(folder), 0, "cpu", NullSink())
        run_experiment(resolve(check(document(num_experiments))[number].config), context)
    return number


def by_mlgym(executor: Any) -> Callable[[int], None]:
    """As `mlgym run` does."""

    def run(num_experiments: int) -> None:
        from experiments import document
        from mlgym.config import check
        from mlgym.execution import RunOptions, launch

        given = document(num_experiments)
        with tempfile.TemporaryDirectory() as folder:
            options = RunOptions(storage=Path(folder), executor=executor, processes=NUM_AT_A_TIME)
            summary = launch(given, check(given), options, command=["benchmark"])
            assert summary.counts.succeeded == num_experiments, summary

    return run


def by_ray_tune(num_experiments: int) -> None:
    """A trial for each, in actors that Tune keeps for several trials."""
    import ray
    from ray import tune

    here = str(Path(__file__).parent)

    def trial(config: dict[str, Any]) -> None:
        sys.path.insert(0, here)
        from executors import one_experiment

        one_experiment(num_experiments, config["number"])
        tune.report({"done": 1})

    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))  # else it leaves one in the home folder
    ray.init(num_cpus=NUM_AT_A_TIME, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            trial,
            param_space={"number": tune.grid_search(list(range(num_experiments)))},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=NUM_AT_A_TIME),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        assert tuner.fit().num_terminated == num_experiments
    ray.shutdown()


def by_joblib(num_experiments: int) -> None:
    """Two loky workers that run one after the other."""
    from joblib import Parallel, delayed

    done = Parallel(n_jobs=NUM_AT_A_TIME, backend="loky")(
        delayed(one_experiment)(num_experiments, number) for number in range(num_experiments)
    )
    assert done == list(range(num_experiments))


def by_subprocess(num_experiments: int) -> None:
    """A fresh interpreter for each."""

    def run(number: int) -> None:
        subprocess.run([sys.executable, __file__, "--one", str(num_experiments), str(number)], check=True)

    with ThreadPoolExecutor(NUM_AT_A_TIME) as pool:
        list(pool.map(run, range(num_experiments)))


WAYS: dict[str, Callable[[int], None]] = {
    "inline": by_mlgym("inline"),
    "processes": by_mlgym("processes"),
    "ray": by_mlgym("ray"),
    "ray tune": by_ray_tune,
    "joblib": by_joblib,
    "subprocess": by_subprocess,
}
NAMES = {
    "inline": "MLgym, inline",
    "processes": "MLgym, processes",
    "ray": "MLgym, Ray",
    "ray tune": "Ray Tune",
    "joblib": "joblib, loky",
    "subprocess": "a plain subprocess each",
}


@contextmanager
def counted() -> Iterator[Callable[[], float]]:
    """Puts what the body starts into a cgroup; the CPU time that all of it took so far, in s, is what is given."""
    CGROUP.mkdir(exist_ok=True)
    try:
        yield lambda: int((CGROUP / "cpuacct.usage").read_text()) / 1e9
    finally:
        give_up_at = time.monotonic() + 30
        while CGROUP.exists() and time.monotonic() < give_up_at:
            with suppress(OSError):
                CGROUP.rmdir()
            time.sleep(0.1)


def cost(command: list[str]) -> dict[str, float]:
    """Gives CPU time and wall time of a command with everything that it starts, in s."""

    def join() -> None:
        (CGROUP / "cgroup.procs").write_text(str(os.getpid()))

    with counted() as cpu_s, tempfile.TemporaryFile() as said:
        before, begun = cpu_s(), time.perf_counter()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        done = subprocess.run(command, stdout=said, stderr=said, env=environment, preexec_fn=join, check=False)
        if done.returncode:
            said.seek(0)
            raise RuntimeError(said.read().decode()[-3000:])
        wall_s = time.perf_counter() - begun
        time.sleep(0.2)  # what ends after its parent is counted too
        return {"cpu": cpu_s() - before, "wall": wall_s}


def slopes(command_of: Callable[[int], list[str]], few: int, many: int) -> dict[str, float]:
    """Gives what one more costs in ms, and what is paid once in s."""
    less, more = cost(command_of(few)), cost(command_of(many))
    found = {key: 1e3 * (more[key] - less[key]) / (many - few) for key in less}
    return found | {"start": less["cpu"] - few * found["cpu"] / 1e3}


def overheads(rounds: int, many: dict[str, int]) -> list[dict[str, Any]]:
    """Gives a row for each way."""
    found: dict[str, list[dict[str, float]]] = {}
    absent: dict[str, str] = {}
    for _ in range(rounds):
        for way, number in many.items():
            command = [sys.executable, __file__, "--way", way, "--num"]
            try:
                measured = slopes(lambda n, c=command: [*c, str(n)], FEW, number)
            except RuntimeError as error:  # a cluster's head that does not come up in time on a busy machine
                absent[way] = str(error).strip().splitlines()[-1]
            else:
                found.setdefault(way, []).append(measured)
    base = statistics.median(one["cpu"] for one in found["inline"])
    rows = []
    for way, measured in found.items():
        cpu = statistics.median(one["cpu"] for one in measured)
        rows.append(
            {
                "table": "An experiment of 20 steps, by the way it is run",
                "what": NAMES[way],
                "CPU ms": f"{cpu:.0f}",
                "over inline, CPU ms": f"{cpu - base:.0f}",
                "wall ms, 2 at a time": f"{statistics.median(one['wall'] for one in measured):.0f}",
                "once a run, CPU s": f"{statistics.median(one['start'] for one in measured):.1f}",
                "rounds": len(measured),
            }
        )
    return rows + [
        {"table": rows[0]["table"], "what": NAMES[way], "note": why} for way, why in absent.items() if way not in found
    ]


def step_times(rounds: int, num_epochs: int) -> list[dict[str, Any]]:
    """Gives a row for a plain DDP loop and for ours, which take turns; both are timed within their processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    commands = {
        "plain loop, torchrun and DDP": [*torchrun, __file__, "--plain", str(num_epochs)],
        "MLgym, two processes": [sys.executable, __file__, "--ours", str(num_epochs)],
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(step_time(command))
    plain, rows = found["plain loop, torchrun and DDP"], []
    for name, measured in found.items():
        pairs = list(zip(measured, plain, strict=True))
        ratios = {key: statistics.median(ours[key] / theirs[key] for ours, theirs in pairs) for key in ("cpu", "wall")}
        rows.append(
            {
                "table": f"A step on two gloo processes, medians of epochs of {STEPS_AN_EPOCH} steps",
                "what": name,
                "CPU ms, both": f"{statistics.median(one['cpu'] for one in measured):.2f}",
                "wall ms": f"{statistics.median(one['wall'] for one in measured):.2f}",
                "ratio, CPU": f"{ratios['cpu']:.3f}",
                "ratio, wall": f"{ratios['wall']:.3f}",
                "pairs": rounds,
                "goal": "" if measured is plain else goal_text(ratios["cpu"]),
            }
        )
    return rows


def step_time(command: list[str]) -> dict[str, float]:
    """Gives what a step took in the median epoch in ms: CPU time of both processes, and wall time."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", FOLDER_VARIABLE: folder}
        subprocess.run(command, check=True, env=environment, capture_output=True)
        ranks = [json.loads(path.read_text())[NUM_WARM:] for path in Path(folder).iterdir()]
    assert len(ranks) == 2, ranks
    cpu_s = sum(statistics.median(cpu for cpu, _ in rank) for rank in ranks)
    wall_s = statistics.mean(statistics.median(wall for _, wall in rank) for rank in ranks)
    return {"cpu": 1e3 * cpu_s / STEPS_AN_EPOCH, "wall": 1e3 * wall_s / STEPS_AN_EPOCH}


def packed(device: str, num_experiments: int, slots: tuple[int, ...] = (1, 2, 4, 8)) -> list[dict[str, Any]]:
    """Gives a row for each number of experiments that share a device: how long all of them take together."""
    from experiments import document
    from mlgym.config import check
    from mlgym.execution import RunOptions, launch

    given, rows = document(num_experiments), []
    for num_slots in slots:
        with tempfile.TemporaryDirectory() as folder:
            options = RunOptions(
                storage=Path(folder), devices=(device,), slots_per_device=num_slots, processes=num_slots
            )
            begun = time.perf_counter()
            summary = launch(given, check(given), options, command=["benchmark"])
            wall_s = time.perf_counter() - begun
        assert summary.counts.succeeded == num_experiments, summary
        rows.append(
            {
                "table": f"{num_experiments} experiments on one {device}",
                "at a time": num_slots,
                "wall s": f"{wall_s:.1f}",
                "wall ms each": f"{1e3 * wall_s / num_experiments:.0f}",
            }
        )
    return rows


def goal_text(ratio: float) -> str:
    """Gives the goal, and whether it was met."""
    return f"<= {DDP_GOAL:g}: {'met' if ratio <= DDP_GOAL else 'MISSED'}"


def train_plainly(num_epochs: int) -> None:
    """A rank of the plain loop: data in memory, the rank's half of each global batch, fused Adam."""
    import torch
    from sklearn.datasets import load_digits
    from torch import distributed, nn
    from torch.nn.parallel import DistributedDataParallel

    torch.manual_seed(0)
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    data = load_digits()
    features = torch.tensor(data.data, dtype=torch.float32)[:1257]
    targets = torch.tensor(data.target)[:1257]
    model = nn.Sequential(
        nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )  # fmt: skip
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(parallel.parameters(), lr=1e-3, fused=True)
    loss_of = nn.CrossEntropyLoss()
    times = EpochTimes()
    for _ in range(num_epochs):
        batches = [batch for _ in range(6) for batch in torch.randperm(len(features)).split(64) if len(batch) == 64]
        times.start()
        for batch in batches[:STEPS_AN_EPOCH]:
            half = batch[32 * rank : 32 * (rank + 1)]
            loss = loss_of(parallel(features[half]), targets[half])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        times.stop()
    times.write()
    distributed.destroy_process_group()


def train_ours(num_epochs: int) -> None:
    """The same model, data, batch size and optimizer by MLgym."""
    from mlgym.config import check, load
    from mlgym.execution import RunOptions, launch

    config: dict[str, Any] = {
        "version": 1,
        "extends": "preset/classification",
        "imports": ["epoch_times"],
        "components": {
            "data": {"use": "digits"},
            "model": {"use": "mlp", "hidden": [512, 512]},
            "optimizer": {"use": "adam", "model": "$model", "lr": 1e-3},
            "loaders": {"batch_size": 64},
        },
    }
    changes = [
        f"experiment.steps_per_epoch={STEPS_AN_EPOCH}",
        f"experiment.epochs={num_epochs}",
        "experiment.early_stopping=[]",
        "experiment.evaluate_every_n_epochs=1000",
        "experiment.callbacks=[{use: time_epochs}]",
    ]
    given = load(config, changes)
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(storage=Path(folder), processes=1, devices_per_experiment=2)
        summary = launch(given, check(given), options, command=["benchmark"])
        assert summary.counts.succeeded == 1, summary


def rows(*, quick: bool = False, rounds: int = 3) -> list[dict[str, Any]]:
    """Gives the tables; ways whose engine is not installed are left out."""
    engines = {"ray": "ray", "ray tune": "ray.tune", "joblib": "joblib"}
    many = {way: num for way, num in MANY.items() if way not in engines or _has(engines[way])}
    if quick:
        many = dict.fromkeys(many, FEW + 2)
    rounds = 1 if quick else rounds
    measured = overheads(rounds, many) + step_times(rounds, 5 if quick else 25)
    import torch

    return measured + (packed("cuda:0", 4 if quick else 64) if torch.cuda.is_available() else [])


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ModuleNotFoundError):
        return False


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few experiments; RESULTS.md is not written")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=list(WAYS))
    parser.add_argument("--num", type=int, default=FEW)
    parser.add_argument("--one", nargs=2, type=int, metavar=("EXPERIMENTS", "NUMBER"))
    parser.add_argument("--plain", type=int, metavar="EPOCHS")
    parser.add_argument("--ours", type=int, metavar="EPOCHS")
    asked = parser.parse_args()
    if asked.way:
        WAYS[asked.way](asked.num)
    elif asked.one:
        one_experiment(*asked.one)
    elif asked.plain:
        train_plainly(asked.plain)
    elif asked.ours:
        train_ours(asked.ours)
    else:
        from report import print_rows

        print_rows(rows(quick=asked.quick, rounds=asked.rounds))
