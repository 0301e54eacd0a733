"""Importing the user's modules: those beside the config first, and what is said of those that fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlgym.config import load
from mlgym.config.imports import import_faults, import_user_modules
from mlgym.errors import ConfigError

from .conftest import Writer


@pytest.fixture(autouse=True)
def _imports_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Forgets what was imported from the test's folder, and nothing else, and puts the path back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{tmp_path}/"):
            del sys.modules[name]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_modules_beside_the_config_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the current folder, whose modules are found too; a module finds its neighbours."""
    _write(tmp_path / "project" / "pieces_a.py", "import neighbour_a\nwhere = 'beside'")
    _write(tmp_path / "project" / "neighbour_a.py", "")
    _write(tmp_path / "here" / "pieces_a.py", "where = 'current'")
    _write(tmp_path / "here" / "only_here_a.py", "")
    monkeypatch.chdir(tmp_path / "here")
    import_user_modules(["pieces_a", "only_here_a"], tmp_path / "project")
    assert sys.modules["pieces_a"].where == "beside"
    import_user_modules(["pieces_a"], tmp_path / "project")
    assert sys.path[:2] == [str(tmp_path / "project"), str(tmp_path / "here")]


def test_a_namesake_of_another_project_is_replaced(tmp_path: Path) -> None:
    """Two examples may both have a `pieces_b.py`; the same project's is not imported twice."""
    for name in ("one", "two"):
        _write(tmp_path / name / "pieces_b.py", f"where = {name!r}")
    import_user_modules(["pieces_b"], tmp_path / "one")
    first = sys.modules["pieces_b"]
    import_user_modules(["pieces_b"], tmp_path / "one")
    assert sys.modules["pieces_b"] is first
    import_user_modules(["pieces_b"], tmp_path / "two")
    assert sys.modules["pieces_b"].where == "two"


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        ("pieces_c.py", "", "`pieces_c.py` is no module name; write it with dots and without `.py`"),
        ("piezes_c", "", "there is no module `piezes_c` beside the config .* did you mean `pieces_c`"),
        ("pieces_c", "import no_such_thing_c", "`pieces_c` cannot be imported: ModuleNotFoundError: No module named"),
        ("pieces_c", "\n1 / 0", r"ZeroDivisionError: division by zero \(.*pieces_c\.py:2\)"),
        ("pieces_c", "x = (", r"pieces_c\.py:1: SyntaxError"),
        ("pieces_c", "raise SystemExit(3)", "`pieces_c` cannot be imported: SystemExit: 3"),
        ("a-b", "", "`a-b` is no module name; write it with dots and without `.py`"),
    ],
)
def test_modules_that_fail(config_file: Writer, name: str, module: str, message: str) -> None:
    """Each is a fault at its place in the list, with the user's own line where there is one."""
    Path("pieces_c.py").write_text(module)
    document = load(config_file(f"imports:\n  - json\n  - {name}\nexperiment: {{use: train}}\n"))
    (fault,) = import_faults(document)
    assert str(fault).startswith("mnist.yml:3:5: imports[1]: ")
    with pytest.raises(ConfigError, match=message):
        import_user_modules(["json", name], Path.cwd())
