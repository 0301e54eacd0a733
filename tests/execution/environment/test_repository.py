"""The state of a git repository: commit, changes and untracked files, whatever the repository asks git to do."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlgym.execution.environment import repository
from mlgym.execution.environment.repository import MAX_DIFF_BYTES, MAX_UNTRACKED, git_state

Git = Callable[..., str]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for git however busy the machine is."""
    monkeypatch.setattr(repository, "_TIMEOUT_S", 120.0)


@pytest.fixture
def git(tmp_path: Path) -> Git:
    def run(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    run("init", "-q")
    (tmp_path / "model.py").write_text("a = 1\n")
    run("add", "model.py")
    run("commit", "-q", "-m", "model: add")
    return run


def state(folder: Path) -> dict[str, Any]:
    found = git_state(folder)
    assert found is not None
    return found


def test_a_plain_folder_has_none(tmp_path: Path) -> None:
    """Outside a repository, in one without a commit, and in a folder that is not there, nothing is known."""
    assert git_state(Path("/proc")) is None
    assert git_state(tmp_path / "gone") is None
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    assert git_state(tmp_path) is None


def test_a_clean_repository(tmp_path: Path, git: Git) -> None:
    """Commit and branch are those of git; there is no difference and nothing untracked."""
    assert state(tmp_path) == {
        "commit": git("rev-parse", "HEAD").strip(),
        "branch": "main",
        "remote": None,
        "dirty": False,
        "diff": "",
        "diff_bytes": 0,
        "diff_sha256": hashlib.sha256(b"").hexdigest(),
        "untracked": [],
        "num_untracked": 0,
    }
    git("checkout", "-q", "--detach")
    assert state(tmp_path)["branch"] is None


def test_changes(tmp_path: Path, git: Git) -> None:
    """Changed and staged files are in the diff, which can be applied; new ones are named."""
    (tmp_path / "model.py").write_text("a = 2\n")
    (tmp_path / "staged.py").write_text("b = 1\n")
    git("add", "staged.py")
    (tmp_path / "new ü.py").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("")
    found = state(tmp_path / "folder")
    assert (found["dirty"], found["untracked"], found["num_untracked"]) == (True, ["folder/", "new ü.py"], 2)
    assert found["diff"] == git("diff", "HEAD")
    assert found["diff_sha256"] == hashlib.sha256(found["diff"].encode()).hexdigest()
    git("reset", "-q", "--hard")
    subprocess.run(["git", "-C", str(tmp_path), "apply"], input=found["diff"], text=True, check=True)
    assert (tmp_path / "model.py").read_text() == "a = 2\n"


def test_much_is_cut_and_said(tmp_path: Path, git: Git) -> None:
    """A long diff is cut after a whole line, many names after the first; size and hash are of all."""
    (tmp_path / "model.py").write_text("".join(f"line {number}\n" for number in range(20_000)))
    for number in range(MAX_UNTRACKED + 5):
        (tmp_path / f"{number}.txt").write_text("")
    found, whole = state(tmp_path), git("diff", "HEAD")
    assert found["diff_bytes"] == len(whole) > MAX_DIFF_BYTES
    assert found["diff_sha256"] == hashlib.sha256(whole.encode()).hexdigest()
    assert MAX_DIFF_BYTES - 100 < len(found["diff"]) <= MAX_DIFF_BYTES
    assert whole.startswith(found["diff"])
    assert found["diff"].endswith("\n")
    assert (len(found["untracked"]), found["num_untracked"]) == (MAX_UNTRACKED, MAX_UNTRACKED + 5)


def test_a_secret_at_the_cut_is_masked(tmp_path: Path, git: Git) -> None:
    """Masking comes before cutting: half a secret, which no form tells, does not stay at the end."""
    token = "ghp_" + "a1" * 20
    lines = f"x = '{token}'\n"
    (tmp_path / "model.py").write_text(lines * (2 * MAX_DIFF_BYTES // len(lines)))
    found = state(tmp_path)
    assert "ghp_" not in found["diff"]


def test_no_program_of_the_repository_runs_and_nothing_is_locked(tmp_path: Path, git: Git) -> None:
    """External diffs, text converters and file monitors in its config are left alone; the control runs them."""
    trace = tmp_path.parent / f"{tmp_path.name}-trace"
    program = tmp_path.parent / f"{tmp_path.name}-program"
    program.write_text(f"#!/bin/sh\necho called >> {trace}\ncat $1 2>/dev/null || true\n")
    program.chmod(0o755)
    (tmp_path / ".gitattributes").write_text("*.py diff=mine\n")
    git("config", "diff.mine.textconv", str(program))
    git("config", "core.fsmonitor", str(program))
    (tmp_path / "model.py").write_text("a = 2\n")
    trace.unlink(missing_ok=True)
    index = (tmp_path / ".git" / "index").read_bytes()
    assert state(tmp_path)["dirty"] is True
    assert not trace.exists()
    assert (tmp_path / ".git" / "index").read_bytes() == index
    git("diff", "HEAD")
    assert trace.exists()
