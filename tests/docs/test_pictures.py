"""The pictures of the validation page are what their script draws, and none is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.docs.scripts import ROOT, script

MEASURED = "chance.svg"


@pytest.fixture(scope="module")
def pictures() -> Iterator[ModuleType]:
    """The script `docs/pictures.py` as a module."""
    with script("pictures") as module:
        yield module


def test_pictures_are_fresh(pictures: ModuleType) -> None:
    """Those that are not measured are drawn anew; the folds in them are what the components make now."""
    for name, draw in pictures.PICTURES.items():
        if name != MEASURED:
            text = (ROOT / "docs" / "images" / name).read_text()
            assert draw().svg() == text, f"docs/images/{name} is stale; {pictures.REMEDY}"


@pytest.mark.slow
def test_what_was_measured(pictures: ModuleType) -> None:
    """On random labels the best of 64 is as far above chance as the page says, and on new rows it is not."""
    best, new = pictures._chance_scores()
    page = (ROOT / "docs" / "validation.md").read_text()
    told = re.search(r"accuracy\s+of (0\.\d\d) over five folds, and (0\.\d\d) on new rows", page)
    assert told is not None
    assert (f"{best[-1]:.2f}", f"{new[-1]:.2f}") == told.groups()
    assert f"its mean over 5 folds: {told[1]}" in (ROOT / "docs" / "images" / MEASURED).read_text()


def test_the_page_shows_all(pictures: ModuleType) -> None:
    """Each picture is on the page, with words for who cannot see it."""
    shown = dict(re.findall(r"!\[([^\]]+)\]\(images/([\w.]+)\)", (ROOT / "docs" / "validation.md").read_text()))
    assert set(shown.values()) == set(pictures.PICTURES)
    assert all(len(words) > 30 for words in shown)
