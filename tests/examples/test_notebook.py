"""The notebook is committed without outputs, runs from the first cell to the last, and shows what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks need the extra `dev`")
nbclient = pytest.importorskip("nbclient", reason="notebooks need the extra `dev`")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook" / "grid.ipynb"


def _read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_is_committed_without_outputs() -> None:
    """Neither outputs nor execution counts are in the file."""
    for cell in _read().cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
def test_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six experiments finish in processes of their own; a table, a frame and three plots are shown."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    notebook = _read()
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=280, resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert {output.output_type for output in outputs} <= {"execute_result", "display_data", "stream"}
    assert sum("image/png" in output.get("data", ()) for output in outputs) == 3
    assert "notebook-grid" in outputs[0].data["text/html"]
    assert "finished: 6 done" in outputs[0].data["text/plain"]
    assert next(output.text for output in outputs if output.output_type == "stream").endswith("of 8 right\n")
