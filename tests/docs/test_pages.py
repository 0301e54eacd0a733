"""What the pages tell readers to do, done: every block of the tutorial and of the README's five minutes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.fences import Block, blocks, follow, matches

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_tutorial(tmp_path: Path) -> None:
    """Each file is saved, each command typed, each program run; all of them print what the page says."""
    page = blocks((ROOT / "docs" / "tutorial.md").read_text())
    assert {block.language for block in page} == {"python", "yaml", "console", "text"}
    follow(page, tmp_path)
    assert len((tmp_path / "answer.csv").read_text().splitlines()) == 4


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_five_minutes(tmp_path: Path) -> None:
    """The README's five minutes work by copy and paste, and the check counts as many experiments as it says."""
    section = (ROOT / "README.md").read_text().partition("## Five minutes")[2].partition("\n## ")[0]
    page = blocks(section)
    assert [block.file for block in page] == ["moons.py", "config.yml", None, None, None, None]
    promised = re.findall(r"# (config\.yml: all right, \d+ experiments)", section)
    assert len(promised) == 1
    assert promised[0] in follow(page, tmp_path)


def test_every_block_is_found() -> None:
    """As many blocks are found as there are fences, and files are those that the paragraph before names."""
    for name in ("README.md", "docs/tutorial.md"):
        text = (ROOT / name).read_text()
        assert 2 * len(blocks(text)) == len(re.findall(r"^```", text, re.MULTILINE))
    files = [block.file for block in blocks((ROOT / "docs" / "tutorial.md").read_text()) if block.language != "console"]
    assert files[:4] == ["parts.py", "test_parts.py", "config.yml", "sweep.yml"]


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        ("a  b\n", "x\na b \n", True),
        ("...\na 0...\n", "a 0.25\n", True),
        ("a ... c\n", "a c\n", True),
        ("a ... c\n", "a b d\n", False),
        ("0.5\n", "0x5\n", False),
        ("b\na\n", "a\nb\n", False),
    ],
)
def test_matching(expected: str, printed: str, fits: bool) -> None:
    """Dots stand for anything, spaces for any number of them, all else for itself."""
    assert matches(expected, printed) == fits


@pytest.mark.parametrize(
    "block",
    [
        Block("console", "$ echo one\ntwo\n", None),
        Block("python", "raise SystemExit(3)\n", None),
        Block("", "false\ntrue\n", None),
        Block("console", "$ echo Traceback\nTraceback\n", None),
        Block("toml", "a = 1\n", None),
    ],
    ids=["other output", "failing program", "failing command", "traceback", "unknown"],
)
def test_a_page_that_is_wrong_fails(block: Block, tmp_path: Path) -> None:
    """Other output, a failing command, a traceback and a block that nobody runs are told."""
    with pytest.raises(AssertionError):
        follow([block], tmp_path)


def test_links_of_all_pages() -> None:
    """Links from one page of the documentation to another, to their headings, to examples and code lead somewhere."""
    written = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    for page in written:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if "://" in target:
                continue
            path, _, heading = target.partition("#")
            linked = page.parent / path if path else page
            assert linked.exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"
            assert not heading or heading in _anchors(linked), f"{page.relative_to(ROOT)} links to {target}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_has_every_page() -> None:
    """`docs/README.md` links every page below `docs`, a folder of pages by its name or page by page."""
    text = (ROOT / "docs" / "README.md").read_text()
    linked = {(ROOT / "docs" / target).resolve() for target in re.findall(r"\]\(([^)#]+)\)", text)}
    for page in (ROOT / "docs").rglob("*.md"):
        if page.name != "README.md":
            assert page.resolve() in linked or page.parent.resolve() in linked - {ROOT / "docs"}, (
                f"docs/README.md does not list {page.relative_to(ROOT)}; add a line to its tables"
            )
