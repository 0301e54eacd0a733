"""What silences a gate says why, on its own line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_CODES = r"[A-Z]+\d+(?:, ?[A-Z]+\d+)*"
SUPPRESSION = re.compile(rf"# (?:type: ignore\[[\w, -]+\]|(?:ruff: )?noqa(?:: {_CODES})?)")


def unexplained(line: str) -> bool:
    """Tells whether a line silences something and does not say why."""
    return bool(SUPPRESSION.search(line)) and not re.search(r"\w", SUPPRESSION.sub("", line[line.index("# ") :]))


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "docs", "examples"])
def test_each_suppression_has_a_reason(folder: str) -> None:
    """A finding that is switched off without a reason is one that nobody may switch on again."""
    bare = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in (ROOT / folder).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if path != Path(__file__) and unexplained(line)
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("line", "is_bare"),
    [
        ("a = b", False),
        ("a = b  # noqa: S105 - no secret", False),
        ("a = b  # type: ignore[arg-type]  # not both are None", False),
        ("a = b  # noqa: S105", True),
        ("a = b  # type: ignore[call-overload,no-any-return]", True),
        ("a = b  # type: ignore[assignment]  # noqa: RUF013", True),
    ],
)
def test_what_counts_as_a_reason(line: str, *, is_bare: bool) -> None:
    """Words behind the codes; a second code is none."""
    assert unexplained(line) == is_bare
