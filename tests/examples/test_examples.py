"""Every example runs: one experiment of it, for a few epochs, in this process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mlgym
from mlgym.config import check, load

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("config", "num_experiments", "changes"),
    [
        ("own_dataset/config.yml", 4, ["data.noise=0.05", "optimizer.lr=0.03"]),
        ("autoencoder/config.yml", 2, ["step.noise=0.2"]),
        ("callbacks/config.yml", 1, []),
        ("adversarial/config.yml", 1, []),
        ("multi_output/config.yml", 2, ["loss.weights=[1.0, 1.0]"]),
        ("regression_table/config.yml", 4, ["model.hidden=[8]", "optimizer.weight_decay=0.0"]),
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


def test_mnist_unfolds_into_fifteen_experiments() -> None:
    """Three batch sizes times five learning rates; checked without downloading anything."""
    assert len(check(load(EXAMPLES / "mnist_conv_net/config.yml"))) == 15


@pytest.mark.parametrize("folder", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_readme(folder: str) -> None:
    """Each example has a README with a command, what one sees and where to change things; the files it names exist."""
    text = (EXAMPLES / folder / "README.md").read_text()
    assert re.search(r"^(mlgym run|jupyter lab) ", text, re.MULTILINE)
    assert "\nYou see " in text
    assert "| to change | where |" in text
    made_by_it = {"config.yml"} if folder == "notebook" else set()
    for name in set(re.findall(r"\b[\w-]+\.(?:py|yml|ipynb)\b", text)) - made_by_it:
        assert (EXAMPLES / folder / name).is_file(), name
    assert f"[{folder}]({folder})" in (EXAMPLES / "README.md").read_text()
