"""Pictures of a search: which values go with which scores, and which keys mattered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mlgym.texts import key_text, number, value_text
from mlgym.validation.report.facts import ConfigurationFacts, ImportancesFacts, ReportFacts
from mlgym.validation.report.page.canvas import GRID, INK, MUTED, PAPER, SERIES, Picture, drawn, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_AXES: Final = 7
_MAX_SLICES: Final = 6
_MAX_CELLS: Final = 20
_MAX_LINES: Final = 500
_LOG_FROM: Final = 50
_MAX_TICKS: Final = 6
_MAX_SHARES: Final = 10
ACCENT: Final = SERIES[0]


@dataclass(frozen=True)
class Axis:
    """The values of a swept key as places from 0 to 1.

    Args:
        key: the key.
        places: of each configuration, (configurations,).
        ticks: place and text of some values.
        is_scale: whether distances mean something, so that there may be values between.
    """

    key: str
    places: list[float]
    ticks: list[tuple[float, str]]
    is_scale: bool


def scored(facts: ReportFacts) -> list[tuple[ConfigurationFacts, float]]:
    """Gives the configurations with a score that can be drawn."""
    return [(one, one.mean) for one in facts.configurations if one.mean is not None and math.isfinite(one.mean)]


def keys_by_weight(facts: ReportFacts) -> list[str]:
    """Gives the swept keys that have more than one value, those that mattered most first."""
    configurations = [one for one, _ in scored(facts)]
    keys = dict.fromkeys(key for one in configurations for key in one.swept)
    varying = [key for key in keys if len({repr(one.swept.get(key)) for one in configurations}) > 1]
    shares = {
        one.keys[0]: one.share for one in (facts.importance.shares if facts.importance else []) if len(one.keys) == 1
    }
    return sorted(varying, key=lambda key: -shares.get(key, 0.0))


def _axes(points: Sequence[tuple[ConfigurationFacts, float]], keys: Sequence[str]) -> list[Axis]:
    """Gives the axes of swept keys; values that are no numbers stand in the order of the grid."""
    orders = {key: _different([one.swept.get(key) for one, _ in _in_order(points)]) for key in keys}
    return [axis_of(key, [one.swept.get(key) for one, _ in points], order=orders[key]) for key in keys]


def _in_order(points: Sequence[tuple[ConfigurationFacts, float]]) -> list[tuple[ConfigurationFacts, float]]:
    return sorted(points, key=lambda one: one[0].configuration)


def _score_axis(metric: str, means: Sequence[float]) -> Axis:
    """Gives the axis of the scores, with a few even ticks: those of single scores would lie on each other."""
    axis = _scale(metric, list(means)) if max(means) > min(means) else axis_of(metric, means, order=[])
    low, high = min(means), max(means)
    ticks = [(place / 4, number(low + (high - low) * place / 4, 3)) for place in range(5)]
    return Axis(metric, axis.places, ticks if axis.is_scale else axis.ticks, axis.is_scale)


def axis_of(key: str, values: Sequence[Any], *, order: Sequence[str]) -> Axis:
    """Gives the places of values: on a scale where they are numbers, a logarithmic one where they span much.

    Args:
        key: what they are values of.
        values: one for each configuration.
        order: of the texts of values that are no numbers.
    """
    numbers = [value for value in values if _is_number(value)]
    if len(numbers) == len(values) and all(map(math.isfinite, numbers)) and max(numbers) > min(numbers):
        return _scale(key, [float(value) for value in numbers])
    texts = [value_text(value) for value in values]
    different = list(dict.fromkeys([*order, *texts]))
    places = {text: place / max(1, len(different) - 1) for place, text in enumerate(different)}
    ticks = [(place, text) for text, place in places.items()]
    return Axis(key, [places[text] for text in texts], ticks[:_MAX_CELLS], is_scale=False)


def _scale(key: str, values: list[float]) -> Axis:
    low, high = min(values), max(values)
    is_log = low > 0 and high / low >= _LOG_FROM
    position = math.log if is_log else float
    start, width = position(low), position(high) - position(low)
    places = [(position(value) - start) / width for value in values]
    ticks = [((position(one) - start) / width, number(one, 3)) for one in _tick_values(values, is_log=is_log)]
    return Axis(key, places, ticks, is_scale=True)


def _tick_values(values: Sequence[float], *, is_log: bool) -> list[float]:
    """Gives the values themselves where they are few, else round ones between the ends, and the ends."""
    different = sorted(set(values))
    if len(different) <= _MAX_TICKS:
        return different
    low, high = different[0], different[-1]
    if not is_log:
        return [low + (high - low) * place / 4 for place in range(5)]
    decades = range(math.ceil(math.log10(low * 3)), math.floor(math.log10(high / 3)) + 1)
    return [low, *(10.0**power for power in decades), high]


def search_pictures(facts: ReportFacts) -> list[Picture]:
    """Gives the pictures that fit how many keys were swept."""
    keys = keys_by_weight(facts)
    points = scored(facts)
    if not keys or len(points) < 2 or facts.selection is None:
        return []
    found = []
    if len(keys) > 1:
        found.append(_parallel(facts, keys[: _MAX_AXES - 1]))
        found += _heat_map(facts, keys[0], keys[1], num_others=len(keys) - 2)
    found.append(_slices(facts, keys[:_MAX_SLICES]))
    if facts.importance is not None:
        found.append(_importance(facts.importance))
    return found


def _metric(facts: ReportFacts) -> str:
    return key_text(facts.selection.score) if facts.selection else "score"


def _goodness(facts: ReportFacts) -> list[float]:
    """Gives 0 for the worst and 1 for the best of the scores."""
    means = [mean for _, mean in scored(facts)]
    low, high = min(means), max(means)
    is_min = facts.selection is not None and facts.selection.best == "min"
    shares = [(mean - low) / (high - low) if high > low else 1.0 for mean in means]
    return [1 - share for share in shares] if is_min else shares


def _parallel(facts: ReportFacts, keys: Sequence[str]) -> Picture:
    points = scored(facts)
    axes = _axes(points, keys)
    axes.append(_score_axis(_metric(facts), [mean for _, mean in points]))
    left_out = max(0, len(points) - _MAX_LINES)
    more = f" The {left_out} worst are left out." if left_out else ""
    return drawn(
        "Every configuration",
        "A line for each configuration through its values; the stronger its colour, the better; the best in orange."
        f"{more}",
        lambda figure: _draw_parallel(figure, axes, _goodness(facts)),
        name="parallel",
    )


def _draw_parallel(figure: Figure, axes: Sequence[Axis], goodness: Sequence[float]) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    plot: Axes = figure.add_subplot()
    plain_axes(plot)
    lines = [list(enumerate(column)) for column in zip(*(axis.places for axis in axes), strict=True)][:_MAX_LINES]
    # The best last, so that it lies above the others.
    colours = [to_rgba(ACCENT, 0.08 + 0.6 * share**2) for share in goodness[: len(lines)]]
    plot.add_collection(LineCollection(lines[:0:-1], colors=colours[:0:-1], linewidths=1.0))
    plot.add_collection(LineCollection(lines[:1], colors=SERIES[1], linewidths=2.0))
    for place, axis in enumerate(axes):
        plot.plot([place, place], [0, 1], color=MUTED, linewidth=0.7)
        is_last = place == len(axes) - 1
        for where, text in axis.ticks:
            plot.annotate(
                text, (place, where), xytext=(5 if is_last else -4, 0), textcoords="offset points",
                ha="left" if is_last else "right", va="center", color=INK, fontsize=7.5,
                bbox={"facecolor": PAPER, "alpha": 0.75, "linewidth": 0, "pad": 0.8},
            )  # fmt: skip
    plot.set_xlim(-0.45, len(axes) - 0.55)
    plot.set_ylim(-0.06, 1.06)
    plot.set_yticks([])
    plot.set_xticks(range(len(axes)), [_wrapped(axis.key) for axis in axes])


def _wrapped(key: str) -> str:
    text = key_text(key)
    return text if len(text) <= 12 else text.replace(".", ".\n", 1) if "." in text else text


def _heat_map(facts: ReportFacts, across: str, down: str, *, num_others: int) -> list[Picture]:
    points = scored(facts)
    columns = _different([one.swept.get(across) for one, _ in _in_order(points)])
    rows = _different([one.swept.get(down) for one, _ in _in_order(points)])
    if not (1 < len(columns) <= _MAX_CELLS and 1 < len(rows) <= _MAX_CELLS):
        return []
    cells: dict[tuple[int, int], list[float]] = {}
    for one, mean in points:
        place = rows.index(value_text(one.swept.get(down))), columns.index(value_text(one.swept.get(across)))
        cells.setdefault(place, []).append(mean)
    means = {place: sum(values) / len(values) for place, values in cells.items()}
    over = ", each the mean over the other swept keys" if num_others else ""
    is_min = facts.selection is not None and facts.selection.best == "min"
    return [
        drawn(
            f"{_metric(facts)} by the two keys that mattered most" if num_others else f"{_metric(facts)} by both keys",
            f"The stronger the colour, the better{over}; empty where there is no score.",
            lambda figure: _draw_heat_map(figure, means, rows, columns, (down, across), is_min=is_min),
            name="heat",
            height_in=min(5.0, 1.2 + 0.35 * len(rows)),
        )
    ]


def _different(values: Sequence[Any]) -> list[str]:
    """Gives the texts of different values: numbers, and lists of them, in their order, others as they come."""
    if all(map(_is_number, values)) or all(isinstance(one, list) and all(map(_is_number, one)) for one in values):
        values = sorted(values)
    return list(dict.fromkeys(map(value_text, values)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _draw_heat_map(
    figure: Figure,
    means: dict[tuple[int, int], float],
    rows: Sequence[str],
    columns: Sequence[str],
    keys: tuple[str, str],
    *,
    is_min: bool,
) -> None:
    plot: Axes = figure.add_subplot()
    low, high = min(means.values()), max(means.values())
    shares = {place: (mean - low) / (high - low) if high > low else 0.5 for place, mean in means.items()}
    draw_cells(
        plot,
        {place: 1 - share if is_min else share for place, share in shares.items()},
        {place: number(mean, 3) for place, mean in means.items()} if len(columns) <= 10 else {},
    )
    label_cells(plot, rows, columns)
    plot.set_ylabel(key_text(keys[0]))
    plot.set_xlabel(key_text(keys[1]))


def draw_cells(plot: Axes, shares: dict[tuple[int, int], float], texts: dict[tuple[int, int], str]) -> None:
    """Draws cells by (row, column), the darker the larger their share, which is 0 to 1, with texts in them."""
    from matplotlib.patches import Rectangle

    plain_axes(plot)
    for (row, column), share in shares.items():
        cell = Rectangle((column, row), 1, 1, facecolor=ACCENT, alpha=0.04 + 0.66 * share, linewidth=0)
        plot.add_patch(cell)
    for (row, column), text in texts.items():
        plot.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=INK, fontsize=7.5)


def label_cells(plot: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Labels rows, from the top, and columns of cells."""
    plot.set_xlim(0, len(columns))
    plot.set_ylim(len(rows), 0)
    is_long = sum(map(len, columns)) > 45
    plot.set_xticks([place + 0.5 for place in range(len(columns))], columns, rotation=45 if is_long else 0)
    plot.set_yticks([place + 0.5 for place in range(len(rows))], rows)


def _slices(facts: ReportFacts, keys: Sequence[str]) -> Picture:
    points = scored(facts)
    axes = _axes(points, keys)
    means = [mean for _, mean in points]
    num_rows = math.ceil(len(axes) / 3)
    with_line = " The line goes through the means of each value." if any(_repeats(axis) for axis in axes) else ""
    return drawn(
        f"{_metric(facts)} by each swept key",
        f"A dot for each configuration.{with_line}",
        lambda figure: _draw_slices(figure, axes, means, _metric(facts)),
        name="slices",
        height_in=0.4 + 1.9 * num_rows if len(axes) > 1 else 3.0,
    )


def _repeats(axis: Axis) -> bool:
    return len(set(axis.places)) < len(axis.places)


def _draw_slices(figure: Figure, axes: Sequence[Axis], means: Sequence[float], metric: str) -> None:
    num_columns = min(3, len(axes))
    plots = figure.subplots(math.ceil(len(axes) / num_columns), num_columns, sharey=True, squeeze=False).flat
    for place, (plot, axis) in enumerate(zip(plots, axes, strict=False)):
        plot.scatter(axis.places, means, s=11, color=ACCENT, alpha=0.8, linewidths=0)
        if _repeats(axis):
            line = _marginal(axis.places, means)
            plot.plot(*zip(*line, strict=True), color=SERIES[1], linestyle="-" if axis.is_scale else ":", linewidth=1.2)
        plot.set_xticks([where for where, _ in axis.ticks], [text for _, text in axis.ticks])
        plot.tick_params(axis="x", rotation=45 if sum(len(text) for _, text in axis.ticks) > 60 / num_columns else 0)
        plot.set_xlim(-0.12, 1.12)
        plot.set_title(key_text(axis.key), color=INK)
        if place % num_columns == 0:
            plot.set_ylabel(metric)
    for plot in list(plots):
        plot.set_visible(False)


def _marginal(places: Sequence[float], means: Sequence[float]) -> list[tuple[float, float]]:
    groups: dict[float, list[float]] = {}
    for place, mean in zip(places, means, strict=True):
        groups.setdefault(place, []).append(mean)
    return [(place, sum(groups[place]) / len(groups[place])) for place in sorted(groups)]


def _importance(importance: ImportancesFacts) -> Picture:
    from mlgym.validation.report.tables import importance_note

    shares = importance.shares[:_MAX_SHARES]
    return drawn(
        "What mattered",
        f"Share of the variance between configurations that each key explains. {importance_note(importance)}",
        lambda figure: _draw_importance(figure, shares),
        name="importance",
        height_in=0.6 + 0.3 * len(shares),
    )


def _draw_importance(figure: Figure, shares: Sequence[Any]) -> None:
    plot: Axes = figure.add_subplot()
    names = [" \N{MULTIPLICATION SIGN} ".join(map(key_text, one.keys)) for one in shares]
    places = range(len(shares))
    plot.barh(places, [one.share for one in shares], color=ACCENT, height=0.6)
    for place, one in zip(places, shares, strict=True):
        plot.annotate(
            f"{one.share:.1%}", (one.share, place), xytext=(4, 0), textcoords="offset points", va="center", color=INK
        )
    plot.set_yticks(places, names)
    plot.invert_yaxis()
    plot.set_xlim(0, 1.12 * max(one.share for one in shares) or 1)
    plot.grid(axis="x", color=GRID)
    plot.grid(visible=False, axis="y")
    plot.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
