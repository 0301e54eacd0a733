"""The examples on images run on small files that are made here, and learn something from them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import mlgym
from mlgym.components.data import image_sets
from mlgym.components.data.image_sets import MNIST
from mlgym.config import check, load
from tests.components.data.loopback_mirror import Mirror, serving
from tests.components.data.published import idx, remote_of

EXAMPLES = Path(__file__).parents[2] / "examples"


def _small_mnist() -> dict[str, bytes]:
    """Gives real digits of 8 x 8 pixels, enlarged to 28 x 28, in the four files of MNIST."""
    digits: Any = load_digits()
    images = np.pad(np.kron(digits.images * (255 / 16), np.ones((1, 3, 3))), ((0, 0), (2, 2), (2, 2)))
    arrays = (images[:400], digits.target[:400], images[400:500], digits.target[400:500])
    return {file.name: idx(array) for file, array in zip(MNIST.files, arrays, strict=True)}


def test_mnist_conv_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the fifteen points downloads its data, trains the network as it is and tells most digits apart."""
    config = EXAMPLES / "mnist_conv_net" / "config.yml"
    monkeypatch.chdir(tmp_path)
    files = _small_mnist()
    with serving(Mirror(files)) as mirror:
        monkeypatch.setattr(image_sets, "MNIST", remote_of("mnist", files, mirror.address))
        changes = ["loaders.batch_size=10", "optimizer.lr=1e-3", "experiment.epochs=4"]
        run = mlgym.run(config, overrides=changes, storage=tmp_path / "runs", executor="inline", progress=False)
    assert run.exit_code == 0, run.report()
    assert {path.name for path in (tmp_path / "data" / "mnist").iterdir()} >= set(files)
    assert run.experiments[0].latest["test/f1_macro"] > 0.7


def test_image_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images that the example draws are learned; mirroring changes the weights, loader workers do not."""
    pytest.importorskip("PIL.Image", reason="`image_folder` needs pillow")
    folder = tmp_path / "image_folder"
    shutil.copytree(EXAMPLES / "image_folder", folder, ignore=shutil.ignore_patterns("images", "event_storage"))
    subprocess.run([sys.executable, "make_images.py", "images", "30"], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    assert len(check(load("config.yml"))) == 2

    def digests_of(*changes: str) -> dict[float, str]:
        overrides = [*changes, "experiment.epochs=2"]
        run = mlgym.run("config.yml", overrides=overrides, storage=tmp_path / "runs", executor="inline", progress=False)
        assert run.exit_code == 0, run.report()
        assert all(one.latest["train/accuracy"] > 0.4 for one in run.experiments), run.report()
        found = {one.config["components"]["mirrored"]["transform"]["probability"]: one for one in run.experiments}
        return {key: one.state.digest.parameters for key, one in found.items() if one.state.digest}

    digests = digests_of()
    assert digests.keys() == {0.0, 0.5}
    assert digests[0.0] != digests[0.5]
    in_workers = digests_of("loaders.num_workers=2", "mirrored.transform.probability=0.5")
    assert in_workers == {0.5: digests[0.5]}
