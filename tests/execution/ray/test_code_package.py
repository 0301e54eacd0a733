"""What travels to the nodes: the user's code, and nothing that cannot be meant."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from mlgym.errors import RunError
from mlgym.execution.ray.code_package import UserCode


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder as people have them."""
    folder = tmp_path / "project"
    for name in (
        "config.yml",
        "package/__init__.py",
        "package/words.txt",
        "package/__pycache__/old.pyc",
        ".git/HEAD",
        ".env",
        "venv/pyvenv.cfg",
        "venv/lib/big.py",
        "event_storage/run/event_storage.log",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def code_of(project: Path, *imports: str, main_script: Path | None = None) -> UserCode:
    return UserCode(folder=project, imports=imports, main_script=main_script, storage=project / "event_storage")


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_results_secrets_and_environments_stay_here(project: Path, tmp_path: Path) -> None:
    """Of the folder goes what a module may need, data beside it too; hidden files, environments and runs do not."""
    target = tmp_path / "target"
    code_of(project, "package").collect(target)
    assert files_in(target) == {"config.yml", "package/__init__.py", "package/words.txt"}


def test_modules_from_elsewhere_and_the_script_come_along(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that was found on the path lies where the nodes look first; the script has a name of its own."""
    other = tmp_path / "other"
    (other / "found_elsewhere").mkdir(parents=True)
    (other / "found_elsewhere" / "__init__.py").write_text("from found_elsewhere import inner\n")
    (other / "found_elsewhere" / "inner.py").write_text("")
    script = tmp_path / "program.py"
    script.write_text("print('never')\n")
    monkeypatch.syspath_prepend(other)
    importlib.import_module("found_elsewhere")
    target = tmp_path / "target"
    code = code_of(project, "found_elsewhere", main_script=script)
    code.collect(target)
    assert {"found_elsewhere/__init__.py", "found_elsewhere/inner.py"} <= files_in(target)
    folder, main_script = code.on_node()
    assert main_script is not None
    assert (target / folder / main_script).read_text() == script.read_text()


def test_too_much_is_refused_by_name(project: Path, tmp_path: Path) -> None:
    """Data that lies beside the config is named with its size, and so is the way around it."""
    (project / "data").mkdir()
    (project / "data" / "images.bin").write_bytes(bytes(3 * 2**20))
    with pytest.raises(RunError, match=r"more than 2 MB: `data` \(3 MB so far\).*--ray-code shared"):
        code_of(project, "package").collect(tmp_path / "target", max_bytes=2 * 2**20)
    # The control: with room for it, it travels.
    code_of(project, "package").collect(tmp_path / "other", max_bytes=4 * 2**20)
    assert "data/images.bin" in files_in(tmp_path / "other")


def test_without_modules_of_the_users_nothing_travels(project: Path) -> None:
    """A config of MLgym's own components needs no code but what is installed."""
    assert code_of(project).is_empty
    assert not code_of(project, "package").is_empty
    assert not code_of(project, main_script=project / "x.py").is_empty
