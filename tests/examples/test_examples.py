"""Every example runs: one experiment of it, for a few epochs, in this process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mlgym
from mlgym.config import check, load

EXAMPLES = Path(__file__).parents[2] / "examples"
STRATEGIES = {"asha": "{use: asha}", "optuna": "{use: optuna, sampler: tpe, pruner: median}"}


@pytest.mark.parametrize(
    ("config", "num_experiments", "changes"),
    [
        ("own_dataset/config.yml", 4, ["data.noise=0.05", "optimizer.lr=0.03"]),
        ("autoencoder/config.yml", 2, ["step.noise=0.2"]),
        ("callbacks/config.yml", 1, []),
        ("adversarial/config.yml", 1, []),
        ("multi_output/config.yml", 2, ["loss.weights=[1.0, 1.0]"]),
        ("regression_table/config.yml", 4, ["model.hidden=[8]", "optimizer.weight_decay=0.0"]),
        ("cross_validation/config.yml", 30, ["model.hidden=[8]", "validation={mode: grid_search}"]),
        (
            "nested_cross_validation/config.yml",
            95,
            ["model.hidden=[4]", "model.dropout=0.3", "optimizer.lr=0.01", "validation={mode: grid_search}"],
        ),
        (
            "search/config.yml",
            27,
            [
                "model.hidden=[8]",
                "model.dropout=0.1",
                "optimizer={use: adam, model: $model, lr: 0.01}",
                "validation={mode: grid_search}",
            ],
        ),
        ("grid_search/gs_config.yml", 6, ["model.num_channels=4", "optimizer.lr=0.01"]),
    ],
)
def test_example(
    config: str, num_experiments: int, changes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole grid passes the check, and one point of it trains and is evaluated."""
    path = EXAMPLES / config
    monkeypatch.chdir(path.parent)
    assert len(check(load(path))) == num_experiments
    overrides = [*changes, "experiment.epochs=2"]
    run = mlgym.run(path, overrides=overrides, storage=tmp_path, executor="inline", progress=False)
    assert run.exit_code == 0, run.report()
    (experiment,) = run.experiments
    assert "train/running_loss" in experiment.latest


def test_a_loop_that_is_tracked(tmp_path: Path) -> None:
    """The program runs by itself, and what it logged can be looked at."""
    script = EXAMPLES / "track_existing_loop" / "train.py"
    command = [sys.executable, str(script), "--epochs", "3", "--storage", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("mlgym show ")
    run = mlgym.load_run(storage=tmp_path)
    (experiment,) = run.experiments
    assert run.status == "finished"
    assert experiment.latest["val/accuracy"] > 0.8
    assert (experiment.config["epochs"], len(experiment.history("train/loss"))) == (3, 132)
    assert [one.name for one in experiment.artifacts] == ["confusion", "mistakes", "weights.pt"]
    assert experiment.artifact("confusion").suffix == ".png"
    assert len(experiment.state.tables["val/confusion"].values) == 10


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["asha", "optuna"])
def test_example_of_a_search(strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few trials by each of its two strategies come to their end, some of them after a rung."""
    monkeypatch.chdir(EXAMPLES / "search")
    overrides = ["experiment.epochs=3", "validation.num_trials=3", f"validation.strategy={STRATEGIES[strategy]}"]
    run = mlgym.run("config.yml", overrides=overrides, storage=tmp_path, executor="inline", progress=False)
    assert (run.exit_code, run.status, len(run.experiments)) == (0, "finished", 3)
    assert max(one.attempt for one in run.state.experiments.values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["cross_validation", "nested_cross_validation"])
def test_examples_of_folds(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds of one configuration, and two that compete on nested ones, come to their end."""
    monkeypatch.chdir(EXAMPLES / folder)
    fewer = {
        "cross_validation": ["model.hidden=[8]", "validation.folds=2"],
        "nested_cross_validation": ["validation.outer_folds=2", "validation.inner_folds=2", "validation.num_samples=2"],
    }[folder]
    overrides = [*fewer, "experiment.epochs=2"]
    run = mlgym.run("config.yml", overrides=overrides, storage=tmp_path, executor="inline", progress=False)
    assert run.exit_code == 0, run.report()
    assert len(run.experiments) == {"cross_validation": 2, "nested_cross_validation": 10}[folder]
    assert {one.state.sizes["test"] for one in run.experiments} <= {85, 86, 89}


def test_mnist_unfolds_into_fifteen_experiments() -> None:
    """Three batch sizes times five learning rates; checked without downloading anything."""
    assert len(check(load(EXAMPLES / "mnist_conv_net/config.yml"))) == 15


@pytest.mark.parametrize("folder", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_readme(folder: str) -> None:
    """Each example has a README with a command, what one sees and where to change things; the files it names exist."""
    text = (EXAMPLES / folder / "README.md").read_text()
    assert re.search(r"^(mlgym run|jupyter lab|python) ", text, re.MULTILINE)
    assert "\nYou see " in text
    assert "| to change | where |" in text
    made_by_it = {"config.yml"} if folder == "notebook" else set()
    for name in set(re.findall(r"\b[\w-]+\.(?:py|yml|ipynb)\b", text)) - made_by_it:
        assert (EXAMPLES / folder / name).is_file(), name
    assert f"[{folder}]({folder})" in (EXAMPLES / "README.md").read_text()
