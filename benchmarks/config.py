"""What a config costs: checking and counting a grid of 100,000 points, reaching one, and building, beside peers.

Times are the best of several repetitions in CPU time, after imports; memory is the peak that Python allocated.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import yaml

from mlgym.config import RunFacts, build_component, check, load, resolve
from report import verdict

NUM_COMPONENTS = 25
VALUES = list(range(1, 11))
CHECK_GOAL_MS = 1000.0
ACCESS_GOAL_MS = 1.0


def grid(sweeps: int) -> dict[str, Any]:
    """Gives a config of 25 components, `sweeps` of which have a sweep of ten values: 10 ** sweeps experiments."""
    models = {
        f"model_{i}": {
            "use": "mlp",
            "hidden": [16, {"sweep": VALUES} if i < sweeps else 8],
            "num_inputs": 8,
            "num_outputs": 2,
            "dropout": 0.1,
        }
        for i in range(NUM_COMPONENTS - 5)
    }
    return {
        "version": 1,
        "components": {
            **models,
            "data": {"use": "iris"},
            "loaders": {"use": "data_loaders", "datasets": {"train": "$data"}, "batch_size": 16},
            "optimizer": {"use": "adam", "model": "$model_0", "lr": 0.01},
            "loss": {"use": "weighted_sum", "losses": [{"use": "cross_entropy"}], "weights": [1.0]},
            "trainer": {
                "use": "trainer", "model": "$model_0", "optimizer": "$optimizer", "loss": "$loss",
                "loader": "$loaders.train",
            },
        },
        # Every model is used, else its sweep would add no experiments; nothing of it is run.
        "experiment": {
            "use": "training", "trainer": "$trainer", "epochs": 1, "callbacks": [f"${name}" for name in models],
        },
    }  # fmt: skip


def best_s(work: Callable[[], Any], repetitions: int) -> float:
    """Gives the CPU time of the fastest repetition, in s."""
    spent = []
    for _ in range(repetitions):
        before = time.process_time()
        work()
        spent.append(time.process_time() - before)
    return min(spent)


def peak_bytes(work: Callable[[], Any]) -> int:
    """Gives what Python allocated at most while `work` ran."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def grid_rows(repetitions: int) -> list[dict[str, Any]]:
    """Measures the grid: the sum of alternatives counts, not their product."""
    rows = []
    for sweeps in (1, 3, 5):
        text = grid(sweeps)
        space = check(load(text))
        last = len(space) - 1
        check_ms = 1e3 * best_s(lambda text=text: check(load(text)), repetitions)
        access_s = best_s(lambda space=space, last=last: [space[last] for _ in range(100)], repetitions) / 100
        resolve_s = best_s(lambda space=space, last=last: resolve(space[last].config), repetitions)
        rows.append(
            {
                "table": f"a grid over {NUM_COMPONENTS} components",
                "points": f"{len(space):,}",
                "load ms": round(1e3 * best_s(lambda text=text: load(text), repetitions), 1),
                "check and count ms": f"{check_ms:.1f}",
                "goal": verdict(check_ms, CHECK_GOAL_MS, " ms"),
                "last point ms": f"{1e3 * access_s:.3f}",
                "its goal": verdict(1e3 * access_s, ACCESS_GOAL_MS, " ms"),
                "resolve it ms": round(1e3 * resolve_s, 2),
                "peak MB": round(peak_bytes(lambda text=text: check(load(text))) / 1e6, 2),
            }
        )
    return rows


PEER_YAML = """
model: {num_inputs: 8, num_outputs: 2, hidden: [16, 16]}
lr: 0.01
"""


def build_rows(repetitions: int) -> list[dict[str, Any]]:
    """Loads a YAML text and builds a model and its optimizer from it: ours, Hydra, jsonargparse."""
    ours = yaml.safe_dump(
        {
            "version": 1,
            "components": {
                "data": {"use": "iris"},
                "loaders": {"use": "data_loaders", "datasets": {"train": "$data"}, "batch_size": 16},
                "model": {"use": "mlp", "hidden": [16, 16], "num_inputs": 8, "num_outputs": 2},
                "optimizer": {"use": "adam", "model": "$model", "lr": 0.01},
                "trainer": {
                    "use": "trainer", "model": "$model", "optimizer": "$optimizer", "loss": {"use": "mse"},
                    "loader": "$loaders.train",
                },
            },
            "experiment": {"use": "training", "trainer": "$trainer", "epochs": 1},
        }
    )  # fmt: skip
    facts = RunFacts(seed=0, dir=".", device="cpu", experiment_id=0, fold=None)

    def with_mlgym() -> Any:
        return build_component(check(load(yaml.safe_load(ours)))[0].config, "optimizer", facts)

    def with_hydra() -> Any:
        from hydra.utils import instantiate
        from omegaconf import OmegaConf

        target = {
            "model": {"_target_": "mlgym.components.model.MLP", "hidden": [16, 16], "num_outputs": 2, "num_inputs": 8},
            "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.01},
        }
        built = instantiate(OmegaConf.create(yaml.safe_dump(target)), _convert_="all")
        return built["optimizer"](built["model"].parameters())

    def with_jsonargparse() -> Any:
        import torch
        from jsonargparse import ArgumentParser

        from mlgym.components.model import MLP

        parser = ArgumentParser()
        parser.add_class_arguments(MLP, "model")
        parser.add_argument("--lr", type=float)
        config = parser.parse_string(PEER_YAML)
        model = parser.instantiate(config).model
        return torch.optim.Adam(model.parameters(), lr=config.lr)

    rows = []
    for name, work in (("MLgym, checked", with_mlgym), ("Hydra", with_hydra), ("jsonargparse", with_jsonargparse)):
        try:
            work()
        except ImportError as error:
            rows.append(
                {"table": "load YAML, build model and optimizer", "what": name, "ms": f"not installed ({error.name})"}
            )
            continue
        spent_s = best_s(work, repetitions)
        rows.append({"table": "load YAML, build model and optimizer", "what": name, "ms": round(1e3 * spent_s, 2)})
    return rows


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives the rows of the tables."""
    repetitions = 3 if quick else 20
    check(load(grid(1)))
    return grid_rows(repetitions) + build_rows(repetitions)


if __name__ == "__main__":
    from report import print_rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    print_rows(rows(quick=parser.parse_args().quick))
