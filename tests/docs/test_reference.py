"""The reference pages say what is there: every component, command and event, as it is now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.docs.scripts import ROOT, script


@pytest.fixture(scope="module")
def generator() -> Iterator[ModuleType]:
    """The script `docs/generate.py` as a module."""
    with script("generate") as module:
        yield module


@pytest.fixture(scope="module")
def pages(generator: ModuleType) -> dict[str, str]:
    """The pages as they should be, by file name."""
    written: dict[str, str] = generator.pages()
    return written


def _pinned_torch() -> str:
    pinned = re.search(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    return pinned[1].partition("+")[0]


@pytest.mark.parametrize(
    "name",
    ["components.md", "commands.md", "events.md", "validation.md", "report.md", "report.schema.json", "openapi.json"],
)
def test_page_is_fresh(name: str, pages: dict[str, str], generator: ModuleType) -> None:
    """The committed page is what signatures and docstrings give now."""
    if name == "components.md" and torch.__version__.partition("+")[0] != _pinned_torch():
        pytest.skip(f"PyTorch {torch.__version__} has other optimizers than the pinned {_pinned_torch()}")
    assert generator.stale({name: pages[name]}) == [], f"docs/reference/{name} is stale; run: make docs"


def test_a_stale_page_is_told(
    generator: ModuleType,
    pages: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A page that misses, or differs in one character, fails the check, and the remedy is `make docs`."""
    monkeypatch.setattr(generator, "FOLDER", tmp_path / "reference")
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    capsys.readouterr()
    page = tmp_path / "reference" / "events.md"
    page.write_text(page.read_text().replace("digest", "digets", 1))
    (tmp_path / "reference" / "commands.md").unlink()
    assert generator.main(["--check"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told == [f"docs/reference/{name} is stale; run: make docs" for name in ("commands.md", "events.md")]


def test_everything_has_a_section(generator: ModuleType, pages: dict[str, str]) -> None:
    """Each component, command and event type has a heading, and `make docs` is the target that writes it."""
    for page, names in (
        ("components.md", [one.name for one in generator.components()]),
        ("commands.md", [one.name for one in generator.commands()]),
        ("events.md", [one.event_type for one in generator.payloads()]),
    ):
        headings = re.findall(r"^##+ (.+)$", pages[page], re.MULTILINE)
        assert len(names) > 5
        assert set(names) <= set(headings)
    assert "docs/generate.py" in (ROOT / "Makefile").read_text().partition("\ndocs:")[2].partition("\n\n")[0]


def test_the_generator_sees_everything(generator: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """What is listed is compared with sources of its own: the registry's names, the help, the classes of the module."""
    from mlgym.cli.main import main
    from mlgym.config.registry import REGISTRY
    from mlgym.events import types

    own = {name for name in REGISTRY.names() if REGISTRY.find(name).target.__module__.startswith("mlgym.")}
    assert {one.name for one in generator.components()} == own
    declared = re.findall(r'event_type: ClassVar\[str\] = "(\w+)"', Path(types.__file__).read_text())
    assert [one.event_type for one in generator.payloads()] == declared
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^  (\w+)  ", capsys.readouterr().out.partition("Commands:")[2], re.MULTILINE)
    assert [one.name.removeprefix("mlgym ") for one in generator.commands()[1:]] == listed


def test_nothing_is_left_unexplained(pages: dict[str, str]) -> None:
    """Every parameter, option and field says what it means, and every part of a page what it is."""
    for page, text in pages.items():
        heading = ""
        for line in text.splitlines():
            heading = line if line.startswith("#") else heading
            assert not line.endswith("|  |"), f"{page}, {heading}: nothing says what this means: {line}"
        bare = re.findall(r"^(##+ .+)\n\n(?:```.+\n(?:.+\n)+```\n\n)?(?=\||Defined|#)", text, re.MULTILINE)
        assert [one for one in bare if page != "components.md" or one.startswith("###")] == []


def test_tables_are_whole(pages: dict[str, str]) -> None:
    """Every line of a table has as many cells as its header: a `|` inside a cell is escaped."""
    for text in pages.values():
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
            assert len(cells) == 1, table


def test_links_and_anchors(generator: ModuleType, pages: dict[str, str]) -> None:
    """Links lead to headings and files that are there, and no two headings have one anchor."""
    for text in pages.values():
        anchors = [generator.anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
        assert len(anchors) == len(set(anchors))
        for target in re.findall(r"\]\((.+?)\)", text):
            if target.startswith("#"):
                assert target[1:] in anchors
            else:
                assert (ROOT / "docs" / "reference" / target).resolve().is_file(), target
