"""A table that chooses among its layouts the widest one that the page has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

_UNLIMITED: Final = 100_000


class FittingTable:
    """Shows the first layout that fits without cutting anything, or the last one.

    Args:
        layouts: make the same table, each narrower than the one before; at least one.
    """

    def __init__(self, layouts: Sequence[Callable[[], Table]]) -> None:
        self._layouts = layouts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.measure import Measurement

        unlimited = options.update(max_width=_UNLIMITED)
        for layout in self._layouts:
            table = layout()
            if Measurement.get(console, unlimited, table).maximum <= options.max_width:
                break
        yield table
