"""The HTML page: whole by itself, inert, readable anywhere, with the pictures that the log has data for."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mlgym.validation.report import Report, report_of
from tests.validation.report.hostile import NASTY, hostile_report
from tests.validation.report.logs import cross_validation, grid, nested, state_of

POINTS: list[dict[str, Any]] = [
    {"optimizer.lr": lr, "model.width": width, "model.act": act}
    for lr in (0.1, 0.01, 0.001)
    for width in (32, 64)
    for act in ("relu", "tanh")
]
ALLOWED_URLS = ("http://www.w3.org/2000/svg",)


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def score(trial: dict[str, Any], epoch: int) -> float:
    lr, width = trial["swept"].get("optimizer.lr", 0.01), trial["swept"].get("model.width", 32)
    fold = trial.get("fold") or trial.get("outer_fold") or 0
    return (
        0.7
        + 0.05 * epoch
        - float(lr)
        + float(width) / 1000
        + 0.01 * int(fold)
        + 0.003 * int(trial["configuration"] * fold % 3)
    )


def report(tmp_path: Path, mode: str) -> Report:
    planned = {"grid": grid(POINTS), "cv": cross_validation(POINTS[:4]), "nested": nested(POINTS[:4])}[mode]
    state = state_of(tmp_path, planned, score, sizes={"train": 80, "val": 20}, epochs=4, num_classes=3)
    return report_of(state)


@pytest.mark.parametrize(
    ("mode", "titles"),
    [
        (
            "grid",
            ["Every configuration", "val/f1 by the two keys that mattered most", "val/f1 by each swept key",
             "What mattered", "val/f1 over training", "Losses of the best over training",
             "val/confusion_matrix of the best", "val/calibration_curve of the best"],
        ),
        ("cv", ["Scores one by one", "Every configuration", "val/f1 by both keys"]),
        ("nested", ["Outer folds", "Every configuration"]),
    ],
)  # fmt: skip
def test_a_page_has_the_pictures_that_fit(mode: str, titles: list[str], tmp_path: Path) -> None:
    """Each with a caption and a name for those who do not see it."""
    page = Page(report(tmp_path, mode).to_html())
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert labels[: len(titles)] == titles or set(titles) <= set(labels)
    assert page.tags.count("figcaption") == page.tags.count("svg") == len(labels)


def test_a_page_needs_nothing_and_runs_nothing(tmp_path: Path) -> None:
    """No script, no address, no style but the one whose hash the policy allows; each id once, and all found."""
    text = report(tmp_path, "grid").to_html()
    page = Page(text)
    assert not {"script", "link", "iframe", "img", "object", "embed", "form", "image"} & set(page.tags)
    names = {name for name, _ in page.attributes}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src", "xlink:href")]
    assert set(re.findall(r"(?:https?:)?//[^\s\"'<)]+", text)) <= {*ALLOWED_URLS}
    style = text[text.index("<style>") + 7 : text.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in text
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = {value[1:] for name, value in page.attributes if name == "href"}
    used |= {value[5:-1] for name, value in page.attributes if name == "clip-path"}
    assert used <= set(ids)


def test_every_colour_of_a_page_is_one_of_the_theme(tmp_path: Path) -> None:
    """A colour that the style sheet does not know would be there in the dark as it is in the light."""
    text = report(tmp_path, "cv").to_html()
    body = text[text.index("</style>") :]
    assert set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]+|black|white)"', body)) == set()
    sheet = text[: text.index("</style>")]
    used = {name for names in re.findall(r'class="((?:[fs]-\w+ ?)+)"', body) for name in names.split()}
    assert used
    assert all(f".{name} " in sheet for name in used)


def test_the_same_log_gives_the_same_page(tmp_path: Path) -> None:
    """No time of day, no random id: a page can be compared with an earlier one."""
    assert report(tmp_path, "grid").to_html() == report(tmp_path / "again", "grid").to_html()


def test_hostile_names_are_text_on_a_page(tmp_path: Path) -> None:
    """They are there to be read, in tables and pictures, and nothing else."""
    found = hostile_report(tmp_path)
    text = found.to_html()
    page = Page(text)
    assert not {"script", "img", "form", "iframe"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "src"]
    assert page.tags.count("style") == 1
    shown = "".join(page.texts)
    assert NASTY[0] in shown
    assert "{{ 7 * 7 }}" in shown
    assert "$x^2$" in shown
    assert not set(text) & {"\x1b", "\u202e", "\u2028"}
    fragment = Page(found._repr_html_())
    assert not {"script", "img", "style", "html", "svg"} & set(fragment.tags)


def test_a_run_without_results_has_a_page(tmp_path: Path) -> None:
    """Nothing to draw is no error."""
    state = state_of(tmp_path, grid(POINTS[:1]), score, epochs=0, is_finished=False)
    assert "val/f1 was not measured so far" in report_of(state).to_html()
