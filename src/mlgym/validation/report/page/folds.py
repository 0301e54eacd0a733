"""Pictures of folds: the scores of each configuration, outer folds, and differences of two sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mlgym.texts import key_text, number
from mlgym.validation.report.facts import ComparisonFacts, ConfigurationFacts, NestedFacts, ReportFacts
from mlgym.validation.report.page.canvas import GRID, INK, MUTED, SERIES, Picture, drawn
from mlgym.validation.report.page.curves import label_of
from mlgym.validation.report.wording import interval_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_ROWS: Final = 15


def fold_pictures(facts: ReportFacts) -> list[Picture]:
    """Gives the pictures of what was scored more than once."""
    compared = [one for one in facts.comparisons if len(one.differences) > 1]
    found = [_difference_picture(one, f"difference{place}") for place, one in enumerate(compared)]
    if facts.nested is not None:
        return [*_nested_picture(facts.nested), *found]
    return [*_strips(facts), *found]


def _nested_picture(nested: NestedFacts) -> list[Picture]:
    drawable = [one for one in nested.outer_folds if one.inner or one.outer_score is not None]
    if not drawable:
        return []
    return [
        drawn(
            "Outer folds",
            "For each outer fold: the inner score of every configuration as a dot, the winner ringed, and its score on "
            "the outer test fold, which decided nothing, as a diamond. The dashed line is the mean of the diamonds.",
            lambda figure: _draw_nested(figure, nested),
            name="nested",
            height_in=0.9 + 0.36 * len(nested.outer_folds),
        )
    ]


def _draw_nested(figure: Figure, nested: NestedFacts) -> None:
    plot: Axes = figure.add_subplot()
    folds = nested.outer_folds
    if nested.mean is not None:
        plot.axvline(nested.mean, color=SERIES[1], linewidth=0.9, linestyle="--")
    for row, fold in enumerate(folds):
        inner = [one.mean for one in fold.inner if one.mean is not None]
        plot.scatter(inner, [row] * len(inner), s=10, color=MUTED, alpha=0.5, linewidths=0)
        if fold.inner_score is not None:
            plot.scatter([fold.inner_score], [row], s=52, facecolors="none", edgecolors=SERIES[0], linewidths=1.4)
        if fold.outer_score is not None:
            plot.scatter([fold.outer_score], [row], s=34, marker="D", color=SERIES[1], linewidths=0)
    _rows(plot, [f"fold {fold.outer_fold}" for fold in folds])
    plot.set_xlabel(key_text(nested.metric))


def _strips(facts: ReportFacts) -> list[Picture]:
    shown = [one for one in facts.configurations if len(_values(one)) > 1][:_MAX_ROWS]
    if not shown:
        return []
    num = max(len(_values(one)) for one in shown)
    bars = ", bars the approximate interval of the mean" if any(one.interval for one in shown) else ""
    more = len(facts.configurations) - len(shown)
    rest = f" The best {len(shown)} of {len(facts.configurations)}." if more else ""
    return [
        drawn(
            "Scores one by one",
            f"Dots are the {num} scores of each configuration, the tick their mean{bars}.{rest}",
            lambda figure: _draw_strips(figure, shown, key_text(facts.selection.score) if facts.selection else ""),
            name="strips",
            height_in=0.9 + 0.32 * len(shown),
        )
    ]


def _values(one: ConfigurationFacts) -> list[float]:
    return [score.value for score in one.scores if score.value is not None and math.isfinite(score.value)]


def _draw_strips(figure: Figure, shown: Sequence[ConfigurationFacts], metric: str) -> None:
    plot: Axes = figure.add_subplot()
    for row, one in enumerate(shown):
        values = _values(one)
        if one.interval is not None:
            plot.plot([one.interval.low, one.interval.high], [row, row], color=SERIES[0], linewidth=3.5, alpha=0.25)
        plot.scatter(values, [row] * len(values), s=11, color=SERIES[0], alpha=0.75, linewidths=0)
        if one.mean is not None:
            plot.plot([one.mean] * 2, [row - 0.28, row + 0.28], color=INK, linewidth=1.4)
    _rows(plot, [label_of(one) for one in shown])
    plot.set_xlabel(metric)


def _difference_picture(one: ComparisonFacts, name: str) -> Picture:
    rope = f"; the grey band holds differences that are none in practice ({number(one.rope)})" if one.rope else ""
    interval = f", the bar its approximate interval {interval_text(one.interval)}" if one.interval else ""
    return drawn(
        f"{key_text(one.first)} minus {key_text(one.second)}",
        f"Dots are the differences on the {one.num_pairs} {one.over}, the tick their mean{interval}{rope}.",
        lambda figure: _draw_difference(figure, one),
        name=name,
        height_in=1.3,
    )


def _draw_difference(figure: Figure, one: ComparisonFacts) -> None:
    plot: Axes = figure.add_subplot()
    if one.rope:
        plot.axvspan(-one.rope, one.rope, color=GRID, linewidth=0)
    plot.axvline(0, color=MUTED, linewidth=0.8)
    if one.interval is not None:
        plot.plot([one.interval.low, one.interval.high], [0, 0], color=SERIES[0], linewidth=4, alpha=0.3)
    plot.scatter(one.differences, [0] * len(one.differences), s=14, color=SERIES[0], alpha=0.75, linewidths=0)
    if one.difference is not None:
        plot.plot([one.difference] * 2, [-0.3, 0.3], color=INK, linewidth=1.4)
    _rows(plot, [""])
    plot.set_xlabel(f"difference in {key_text(one.metric)}")


def _rows(plot: Axes, labels: Sequence[str]) -> None:
    """Labels rows from the top, with a faint line for each."""
    plot.set_yticks(range(len(labels)), labels)
    plot.set_ylim(len(labels) - 0.4, -0.6)
    plot.tick_params(axis="y", length=0)
    plot.spines["left"].set_visible(False)
