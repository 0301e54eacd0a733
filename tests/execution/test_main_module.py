"""Components that a program defines itself: workers import its script, once, and only its definitions."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from mlgym.config.registry import Registry
from mlgym.execution import main_module
from mlgym.execution.main_module import import_main_script, main_script_of, refuse_launch_while_importing, used_names
from tests.waiting import wait_for

SCRIPT = """\
import os
from pathlib import Path

import mlgym
from mlgym import register

with Path("imported").open("a") as file:
    file.write(f"{__name__} {os.getpid()}\\n")


@register("answers")
class Answers:
    def __init__(self, question: str) -> None:
        self.question = question

    def run(self, context) -> None:
        print("the answer to", self.question)


def main(executor: str = "processes") -> None:
    config = {"version": 1, "experiment": {"use": "answers", "question": {"sweep": ["one", "two"]}}}
    processes = 2 if executor == "processes" else None
    run = mlgym.run(
        config, storage="storage", run_id="run", processes=processes, executor=executor, progress=False
    )
    print(run.status, run.state.counts["done"], [one.error for one in run.experiments])
    for experiment in run.experiments:
        print([line.message for line in experiment.state.recent_logs])
"""


def run_program(folder: Path, arguments: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs Python in a folder and gives how it ended."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, input=stdin, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_run_components_of_the_script(tmp_path: Path) -> None:
    """Real processes build what the script registers; beside the script itself only the fork server imports it."""
    (tmp_path / "script.py").write_text(SCRIPT + '\n\nif __name__ == "__main__":\n    main()\n')
    done = run_program(tmp_path, ["script.py"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "finished 2 [None, None]",
        "['the answer to one']",
        "['the answer to two']",
    ]
    imported = [line.split() for line in (tmp_path / "imported").read_text().splitlines()]
    assert [name for name, _ in imported] == ["__main__", "__mp_main__"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_script_that_launches_when_imported_is_stopped(tmp_path: Path) -> None:
    """Without the guard each worker would launch the run again: it is told so, and nothing multiplies."""
    (tmp_path / "script.py").write_text(SCRIPT + "\n\nmain()\n")
    done = run_program(tmp_path, ["script.py"])
    assert 'put the launch under `if __name__ == "__main__":`' in done.stdout + done.stderr
    assert "finished 2 [None, None]" not in done.stdout
    imported = (tmp_path / "imported").read_text().splitlines()
    assert 2 <= len(imported) <= 4
    assert [path.name for path in (tmp_path / "storage").iterdir()] == ["run"]
    wait_for(lambda: not any(Path("/proc", line.split()[1]).exists() for line in imported))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("arguments", [["-"], ["-c", SCRIPT + "\n\nmain()\n"]], ids=["stdin", "-c"])
def test_a_program_without_a_file_is_told_what_to_do(tmp_path: Path, arguments: list[str]) -> None:
    """A notebook, stdin and `-c` have nothing that a worker could import; nothing is started."""
    done = run_program(tmp_path, arguments, stdin=SCRIPT + "\n\nmain()\n")
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert "worker processes cannot import `answers`, which is defined in a notebook" in message
    assert "`executor=inline`" in message
    assert not (tmp_path / "storage").exists()


@pytest.mark.timeout(300)
def test_a_program_without_a_file_runs_inline(tmp_path: Path) -> None:
    """What the message recommends works."""
    done = run_program(tmp_path, ["-"], stdin=SCRIPT + '\n\nmain("inline")\n')
    assert "finished 2 [None, None]" in done.stdout, done.stderr


def test_used_names_are_found_at_any_depth() -> None:
    """In lists, sweeps and components of components; a deep config needs no deep stack."""
    deep: object = {"use": "deep"}
    for _ in range(50_000):
        deep = {"more": [deep]}
    data = {"a": [{"use": "x", "of": {"sweep": [{"use": "y"}, 3]}}, {"use": 7}], "b": deep, "use": "z"}
    assert sorted(used_names(data)) == ["deep", "x", "y", "z"]


def test_only_components_of_the_main_module_need_its_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of other modules and names that nobody knows say nothing."""
    script = tmp_path / "script.py"
    script.touch()
    main = types.ModuleType("__main__")
    main.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "__main__", main)

    def of_main() -> None:
        """Does nothing."""

    of_main.__module__ = "__main__"
    registry = Registry()
    registry.register("of_main")(of_main)
    registry.register("of_another")(Path)
    monkeypatch.setattr(main_module, "REGISTRY", registry)
    assert main_script_of({"use": "of_another", "more": [{"use": "of_main"}]}) == script
    assert main_script_of({"use": "of_another", "more": [{"use": "nobody_knows"}]}) is None


def test_a_script_is_imported_once_and_forgotten_when_it_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the name that `multiprocessing` uses for its own; a launch is refused meanwhile, and allowed afterwards."""
    monkeypatch.setitem(sys.modules, "__mp_main__", sys.modules["__main__"])
    script = tmp_path / "script.py"
    script.write_text("raise ValueError('halfway')\n")
    with pytest.raises(ValueError, match="halfway"):
        import_main_script(script)
    assert sys.modules["__mp_main__"] is sys.modules["__main__"]
    refuse_launch_while_importing()
    script.write_text(
        "from mlgym.execution.main_module import refuse_launch_while_importing\n"
        "from mlgym.errors import RunError\n\n"
        "try:\n    refuse_launch_while_importing()\nexcept RunError as error:\n    told = str(error)\n"
    )
    import_main_script(script)
    module = sys.modules["__mp_main__"]
    assert "__main__" in module.told
    script.unlink()
    import_main_script(script)
    assert sys.modules["__mp_main__"] is module
