"""The picture of a search as it went on: each result, and the best score up to then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mlgym.texts import key_text
from mlgym.validation.report.facts import ReportFacts
from mlgym.validation.report.page.canvas import MUTED, SERIES, Picture, drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Point(NamedTuple):
    """A result: the epochs that were trained in all up to it, its score, and the best one up to it."""

    epochs: int
    score: float
    best: float


def course_pictures(facts: ReportFacts) -> Iterator[Picture]:
    """Gives the best score so far over the epochs that were trained in all; nothing with fewer than two results."""
    search, selection = facts.search, facts.selection
    if search is None or selection is None:
        return
    results = [
        Point(one.epochs_trained, one.score, one.best)
        for one in search.course
        if one.score is not None and one.best is not None and math.isfinite(one.score)
    ]
    if len(results) < 2:
        return
    metric = key_text(selection.metric)
    title = "The best score as the search went on"
    caption = (
        f"{len(results)} results of {search.num_tried} configurations, each where it came: epochs of training in all "
        f"trials together up to then, and its {metric}. The line is the best one so far; it is the best of many, and "
        "so too good an estimate for new data."
    )
    yield drawn(title, caption, lambda figure: _draw(figure, results, metric), name="course")


def _draw(figure: Figure, results: Sequence[Point], metric: str) -> None:
    axes = figure.subplots()
    epochs = [one.epochs for one in results]
    axes.plot(epochs, [one.score for one in results], "o", color=MUTED, markersize=3)
    axes.step(epochs, [one.best for one in results], where="post", color=SERIES[0])
    axes.set_xlabel("epochs trained in all")
    axes.set_ylabel(metric)
