"""The report of a run on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from mlgym.display.fitting import FittingTable
from mlgym.validation.report.formats import headline, sections
from mlgym.validation.report.tables import Column, Table, tables_of

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table as RichTable

    from mlgym.validation.report import ReportFacts

_MOST_DETAILED: Final = 8
_SUMMARY_ROWS: Final = 20
_STYLES: Final = {"Beware": "yellow", "Missing": "yellow"}


def report_page(facts: ReportFacts, max_rows: int) -> Group:
    """Gives tables and sentences; columns that a narrow page has no room for are left out, details first.

    Args:
        facts: what is shown.
        max_rows: rows of a table.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(headline(facts), style="bold")]
    for table in tables_of(facts, max_rows):
        parts += [Text(), Text(table.title, style="bold"), fitting(table)]
        parts += [Text(table.note, style="dim")] if table.note else []
    for title, lines in sections(facts):
        parts += [Text(), Text(title, style=f"bold {_STYLES.get(title, '')}".strip())]
        parts += [_item(line) for line in lines]
    return Group(*parts)


def summary(facts: ReportFacts) -> Group:
    """Gives what the end of a run says where configurations have several experiments: the table, claims, warnings."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for table in tables_of(facts, _SUMMARY_ROWS)[:1]:
        parts += [fitting(table), *([Text(table.note)] if table.note else [])]
    for title, lines in sections(facts):
        if title in ("Beware", "What may be claimed"):
            parts += [Text(), *(_item(line) for line in lines)]
    return Group(*parts)


def fitting(table: Table) -> FittingTable:
    """Gives a table that leaves columns out until it fits."""
    layouts: list[Callable[[], RichTable]] = []
    num_columns = -1
    for detail in range(_MOST_DETAILED, 0, -1):
        columns = table.without(detail)
        if len(columns) != num_columns:
            layouts.append(partial(_rich_table, columns, table.best))
        num_columns = len(columns)
    return FittingTable(layouts)


def _rich_table(columns: Sequence[Column], best: int | None) -> RichTable:
    from rich.table import Table as RichTable

    shown = RichTable(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        shown.add_column(column.head, justify=column.align)
    for place, row in enumerate(zip(*(column.cells for column in columns), strict=True)):
        shown.add_row(*row, style="bold" if place == best else None)
    return shown


def _item(line: str) -> RenderableType:
    """Gives a sentence with a mark before it, its further lines below its first."""
    from rich.table import Table as RichTable

    item = RichTable.grid(padding=(0, 1))
    item.add_row("\N{BULLET}", line)
    return item
