"""Pictures of tables in the log: confusion matrices and reliability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mlgym.events import TableRecord
from mlgym.texts import key_text, number
from mlgym.validation.report.facts import ReportFacts
from mlgym.validation.report.page.canvas import INK, MUTED, SERIES, Picture, drawn
from mlgym.validation.report.page.search import draw_cells, label_cells
from mlgym.validation.report.trials import Trial, by_configuration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = list[list[float]]
RELIABILITY: Final = "reliability"
_MAX_CLASSES: Final = 40
_MAX_TEXTS: Final = 15


def matrix_pictures(facts: ReportFacts, trials: Sequence[Trial]) -> list[Picture]:
    """Gives the tables of the best configuration, or of the winners, added up over folds or seeds."""
    own = _own(facts, trials)
    found: list[Picture] = []
    for key in dict.fromkeys(key for trial in own for key in trial.experiment.tables):
        tables = [trial.experiment.tables[key] for trial in own if key in trial.experiment.tables]
        table = _sum(tables)
        if table is None:
            continue
        name = f"table{len(found)}"
        if key.partition("/")[2].startswith(RELIABILITY) and len(table[0]) == 3:
            found.append(_reliability(key, table, len(tables), name))
        elif len(table) == len(table[0]) <= _MAX_CLASSES:
            found.append(_confusion(key, table, tables, name))
    return found


def _own(facts: ReportFacts, trials: Sequence[Trial]) -> list[Trial]:
    if facts.nested is not None:
        return [trial for trial in trials if trial.role == "outer"]
    best = next((one.configuration for one in facts.configurations if one.num_scored), None)
    return by_configuration(trials).get(best, []) if best is not None else []


def _sum(tables: Sequence[TableRecord]) -> Rows | None:
    """Gives the sum of tables of one shape; None where they differ or have no cells."""
    shapes = {(len(one.values), *map(len, one.values)) for one in tables}
    if len(shapes) != 1 or not tables[0].values or not tables[0].values[0]:
        return None
    rows = zip(*(one.values for one in tables), strict=True)
    return [[sum(cells) for cells in zip(*row, strict=True)] for row in rows]


def _confusion(key: str, table: Rows, tables: Sequence[TableRecord], name: str) -> Picture:
    over = f", added up over {len(tables)} experiments" if len(tables) > 1 else ""
    epochs = {one.epoch for one in tables}
    epoch = f"after epoch {min(epochs)}" if len(epochs) == 1 else "after the last evaluation"
    return drawn(
        f"{key_text(key)} of the best",
        f"Rows are true classes, columns predicted ones; the stronger the colour, the larger the share of its row. "
        f"Counts {epoch}{over}.",
        lambda figure: _draw_confusion(figure, table),
        name=name,
        height_in=min(5.2, 1.4 + 0.27 * len(table)),
    )


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


def _reliability(key: str, table: Rows, num: int, name: str) -> Picture:
    """Gives the curve of a table whose rows are (sum of confidences, right ones, samples) of a bin."""
    over = f" over {num} experiments" if num > 1 else ""
    return drawn(
        f"{key_text(key)} of the best",
        f"Confidence of the predictions against the share of right ones{over}, by bin; on the dashed line they would "
        "agree. Dots below it are too sure of themselves. Bars: how many samples a bin has.",
        lambda figure: _draw_reliability(figure, table),
        name=name,
        height_in=3.4,
    )


def _draw_reliability(figure: Figure, table: Rows) -> None:
    plot: Axes = figure.add_subplot()
    total = sum(count for _, _, count in table) or 1.0
    width = 1 / len(table)
    shares = [count / total for _, _, count in table]
    starts = [(place + 0.5) * width for place in range(len(table))]
    plot.bar(starts, shares, width=0.9 * width, color=MUTED, alpha=0.25, linewidth=0)
    plot.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=0.8)
    points = [(confidence / count, right / count) for confidence, right, count in table if count > 0]
    plot.plot(*zip(*points, strict=True), "o-", color=SERIES[0], markersize=4)
    plot.set_xlim(0, 1)
    plot.set_ylim(0, 1)
    plot.set_xlabel("confidence", color=INK)
    plot.set_ylabel("share of right ones", color=INK)
