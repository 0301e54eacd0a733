"""What a process has imported of the user's code, against what the driver recorded."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlgym.config import import_user_modules
from mlgym.events import CodeChanged, Difference, MemorySink
from mlgym.execution.imported_code import note_import, tell_other_code
from mlgym.execution.job import Job

NAME = "imported_code_of_a_user"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that this process has imported and taken note of, and whose file was edited since."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / f"{NAME}.py"
    path.write_text("imported = 1\n")
    import_user_modules([NAME], tmp_path)
    note_import([NAME], str(tmp_path), None)
    path.write_text("edited = 1\n")
    yield path
    del sys.modules[NAME]


def tell(source: Path, recorded: str, **facts: Any) -> tuple[bool, list[Any]]:
    """Gives whether what comes need not repeat what was, and what was told."""
    sink = MemorySink()
    job = Job(
        run_id="run",
        experiment_id=3,
        job_id="run-0",
        run_dir=str(source.parent),
        config={},
        imports=[NAME],
        folder=str(source.parent),
        code={NAME: sha256(recorded), "used_elsewhere": "0"},
        **facts,
    )
    return tell_other_code(job, sink), list(sink.payloads)


def test_what_was_imported_counts_not_what_the_file_is_now(source: Path) -> None:
    """A fork server reads a file once; that it was edited later changes nothing."""
    assert tell(source, "imported = 1\n") == (False, [])
    assert tell(source, "imported = 1\n", attempt=1) == (False, [])


def test_other_code_is_told(source: Path) -> None:
    """The file, both hashes; a first attempt has nothing behind it that it could depart from."""
    change = Difference(
        "code", NAME, sha256("then\n"), sha256("imported = 1\n"), True, f"`{NAME}.py` was edited meanwhile"
    )
    told = CodeChanged(grid_search_id="run", experiment_id=3, attempt=0, changes=[change])
    assert tell(source, "then\n") == (False, [told])


def test_an_attempt_that_goes_on_with_other_code_parts(source: Path) -> None:
    """Unless the one before it had the same; also when it is the driver's again."""
    now = {NAME: sha256("imported = 1\n")}
    assert tell(source, "then\n", attempt=1)[0]
    assert not tell(source, "then\n", attempt=2, code_before=now)[0]
    assert tell(source, "imported = 1\n", attempt=2, code_before={NAME: "0"}) == (True, [])
