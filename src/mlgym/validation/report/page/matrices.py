"""Pictures of tables in the log: confusion matrices and calibration curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mlgym.events import TableRecord
from mlgym.texts import key_text, number
from mlgym.validation.report.facts import ReportFacts
from mlgym.validation.report.page.canvas import INK, MUTED, SERIES, Picture, drawn
from mlgym.validation.report.page.search import draw_cells, label_cells
from mlgym.validation.report.trials import TRAIN, Trial, by_configuration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = list[list[float]]
CALIBRATION: Final = "calibration_curve"
_MAX_CLASSES: Final = 40
_MAX_TEXTS: Final = 15


def matrix_pictures(facts: ReportFacts, trials: Sequence[Trial]) -> list[Picture]:
    """Gives the tables of the best configuration, or of the winners, added up over folds or seeds."""
    own = _own(facts, trials)
    found: list[Picture] = []
    keys = dict.fromkeys(key for trial in own for key in trial.experiment.tables)
    for key in sorted(keys, key=lambda key: key.startswith(f"{TRAIN}/")):
        tables = [trial.experiment.tables[key] for trial in own if key in trial.experiment.tables]
        rows, columns = _shape(tables)
        name = f"table{len(found)}"
        if key.partition("/")[2].startswith(CALIBRATION) and columns == 3:
            found.append(_calibration(key, tables, name))
        elif 0 < rows == columns <= _MAX_CLASSES:
            found.append(_confusion(key, tables, name))
    return found


def _own(facts: ReportFacts, trials: Sequence[Trial]) -> list[Trial]:
    if facts.nested is not None:
        return [trial for trial in trials if trial.role == "outer"]
    best = next((one.configuration for one in facts.configurations if one.num_scored), None)
    return by_configuration(trials).get(best, []) if best is not None else []


def _shape(tables: Sequence[TableRecord]) -> tuple[int, int]:
    """Gives rows and columns that all the tables have; zeros where they differ."""
    shapes = {(len(one.values), len(row)) for one in tables for row in one.values}
    return shapes.pop() if len(shapes) == 1 else (0, 0)


def _confusion(key: str, tables: Sequence[TableRecord], name: str) -> Picture:
    table: Rows = [[sum(cells) for cells in zip(*row, strict=True)] for row in _aligned(tables)]
    are_counts = all(value.is_integer() for one in tables for row in one.values for value in row)
    if not are_counts:
        table = [[value / len(tables) for value in row] for row in table]
    over = "" if len(tables) == 1 else f", {'added up' if are_counts else 'averaged'} over {len(tables)} experiments"
    epochs = {one.epoch for one in tables}
    epoch = f"after epoch {min(epochs)}" if len(epochs) == 1 else "after the last evaluation"
    return drawn(
        f"{key_text(key)} of the best",
        "Rows are true classes, columns predicted ones; the stronger the colour, the larger the share of its row. "
        f"{'Counts' if are_counts else 'Shares'} {epoch}{over}.",
        lambda figure: _draw_confusion(figure, table),
        name=name,
        height_in=min(5.2, 1.4 + 0.27 * len(table)),
    )


def _aligned(tables: Sequence[TableRecord]) -> list[tuple[list[float], ...]]:
    """Gives the rows of several tables, those of the same place together."""
    return list(zip(*(one.values for one in tables), strict=True))


def _draw_confusion(figure: Figure, table: Rows) -> None:
    plot: Axes = figure.add_subplot()
    cells = {(i, j): value for i, row in enumerate(table) for j, value in enumerate(row) if math.isfinite(value)}
    totals = [sum(value for value in row if math.isfinite(value)) or 1.0 for row in table]
    texts = {place: number(value, 4) for place, value in cells.items()} if len(table) <= _MAX_TEXTS else {}
    draw_cells(plot, {place: max(0.0, value / totals[place[0]]) for place, value in cells.items() if value}, texts)
    step = math.ceil(len(table) / 20)
    names = [str(index) if index % step == 0 else "" for index in range(len(table))]
    label_cells(plot, names, names)
    plot.set_xlabel("predicted class")
    plot.set_ylabel("true class")


def _calibration(key: str, tables: Sequence[TableRecord], name: str) -> Picture:
    bins = [_merged(rows) for rows in _aligned(tables)]
    over = f" over {len(tables)} experiments" if len(tables) > 1 else ""
    return drawn(
        f"{key_text(key)} of the best",
        f"Confidence of the predictions against the share of right ones{over}, by bin; on the dashed line they would "
        "agree, and dots below it are too sure of themselves. Bars: which share of the samples a bin has.",
        lambda figure: _draw_calibration(figure, bins),
        name=name,
        height_in=3.4,
    )


def _merged(rows: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Gives confidence, share of right ones and samples of a bin over several experiments."""
    count = sum(row[2] for row in rows)
    if not count:
        return 0.0, 0.0, 0.0
    return sum(row[0] * row[2] for row in rows) / count, sum(row[1] * row[2] for row in rows) / count, count


def _draw_calibration(figure: Figure, bins: Sequence[tuple[float, float, float]]) -> None:
    plot: Axes = figure.add_subplot()
    total = sum(count for _, _, count in bins) or 1.0
    width = 1 / len(bins)
    middles = [(place + 0.5) * width for place in range(len(bins))]
    plot.bar(middles, [count / total for _, _, count in bins], width=0.9 * width, color=MUTED, alpha=0.25, linewidth=0)
    plot.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=0.8)
    filled = [(confidence, share) for confidence, share, count in bins if count > 0]
    if filled:
        plot.plot(*zip(*filled, strict=True), "o-", color=SERIES[0], markersize=4)
    plot.set_xlim(0, 1)
    plot.set_ylim(0, 1)
    plot.set_xlabel("confidence", color=INK)
    plot.set_ylabel("share of right ones", color=INK)
