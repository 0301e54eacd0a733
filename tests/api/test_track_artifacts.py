"""What a loop of its own keeps beside numbers: texts, figures and files."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import mlgym
from mlgym.errors import RunError

NAMES = [
    "../../evil",
    "a/b",
    "",
    ".",
    "CON",
    "manifest",
    "x.torn",
    "ä ö/ü",
    "n" * 300,
    "a\x00b",
    "A",
    "a",
    "curve.0",
    "\ud800",
]


def test_names_of_artifacts(tmp_path: Path) -> None:
    """Whatever somebody calls a text, it lies below the run, under a name of its own, and is found again."""
    with mlgym.track("names", storage=tmp_path / "storage") as run:
        paths = [run.log_text(name, f"text of {name!r}") for name in NAMES]
    assert len(set(paths)) == len(NAMES)
    assert all(path.resolve().is_relative_to(run.path / "0" / "artifacts") for path in paths)
    assert all(path.name.isascii() and len(path.name) < 120 for path in paths)
    assert [path.name for path in tmp_path.iterdir()] == ["storage"]
    experiment = mlgym.load_run(run.run_id, run.path.parent).experiments[0]
    assert [one.kind for one in experiment.artifacts] == ["text"] * len(NAMES)
    assert experiment.artifact("../../evil").read_text() == "text of '../../evil'"
    with pytest.raises(RunError, match="no version 1 of `A`"):
        experiment.artifact("A", 1)
    with pytest.raises(RunError, match=r"has no artifact `curve`; did you mean `curve\.0`"):
        experiment.artifact("curve")


def figures() -> list[tuple[Any, str, bytes]]:
    import matplotlib.figure
    from PIL import Image

    class Interactive:
        def write_html(self, path: Path) -> None:
            path.write_text("<html>")

    figure = matplotlib.figure.Figure()
    axes = figure.subplots()
    axes.plot([1, 2])
    png = b"\x89PNG"
    return [
        (figure, ".png", png),
        (axes, ".png", png),
        (Image.new("L", (2, 2)), ".png", png),
        (Interactive(), ".html", b"<"),
    ]


def test_figures_and_files(tmp_path: Path) -> None:
    """Figures of three libraries, files and folders are copied into the run; what is none is refused."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2")
    (tmp_path / "model.tar.gz").write_bytes(b"\x1f\x8b")
    with mlgym.track("figures", storage=tmp_path / "storage") as run:
        run.log({"loss": 1.0}, step=7)
        for number, (figure, suffix, head) in enumerate(figures()):
            path = run.log_figure("curve", figure)
            assert (path.parent.name, path.suffix, path.read_bytes()[: len(head)]) == (f"curve.{number}", suffix, head)
        for figure in ("curve.png", None, 3):
            with pytest.raises(RunError, match="is no figure that can be drawn"):
                run.log_figure("curve", figure)
        assert run.log_artifact(tmp_path / "model.tar.gz").name == "model.tar.gz"
        assert run.log_artifact(tmp_path / "data" / "a.csv", "the data", step=3).read_text() == "1,2"
        with tarfile.open(run.log_artifact(tmp_path / "data")) as archive:
            assert archive.getnames() == ["data", "data/a.csv"]
        with pytest.raises(RunError, match="there is no file"):
            run.log_artifact(tmp_path / "missing")
    artifacts = mlgym.load_run(run.run_id, run.path.parent).experiments[0].artifacts
    assert [(one.name, one.step) for one in artifacts[-3:]] == [("model.tar.gz", 7), ("the data", 3), ("data", 7)]
    shown = subprocess.run(
        [sys.executable, "-m", "mlgym", "show", run.run_id, "-e", "0", "--storage", str(tmp_path / "storage")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "figure curve (4 of them): 0/artifacts/curve.3/curve.html" in shown.stdout
    assert "steps 7" in shown.stdout


def test_a_drawing_that_fails(tmp_path: Path) -> None:
    """A figure whose drawing raises leaves nothing behind."""

    class Broken:
        def savefig(self, path: Path, **_: Any) -> None:
            path.write_bytes(b"half")
            raise ValueError("no glyph")

    with mlgym.track("broken", storage=tmp_path) as run:
        with pytest.raises(ValueError, match="no glyph"):
            run.log_figure("curve", Broken())
        assert list((run.path / "0" / "artifacts").iterdir()) == []
        assert run.log_text("curve", "x").parent.name == "curve.0"
