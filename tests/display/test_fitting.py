"""A table that chooses its layout by the page."""

from __future__ import annotations

from functools import partial

import pytest
from rich.table import Table

from mlgym.display.fitting import FittingTable
from tests.display.pages import printed


def layout(*cells: str) -> Table:
    made = Table(box=None, show_header=False, pad_edge=False)
    for _ in cells:
        made.add_column()
    made.add_row(*cells)
    return made


@pytest.mark.parametrize(
    ("width", "shown"),
    [(15, "aaaaa  bbbbb  c"), (14, "aaaaa  bbbbb"), (12, "aaaaa  bbbbb"), (11, "aaaaa"), (5, "aaaaa"), (3, "aa…")],
)
def test_the_widest_that_fits_is_shown(width: int, shown: str) -> None:
    """To the column: nothing is cut while a narrower layout is left; the last one takes what there is."""
    cells = ("aaaaa", "bbbbb", "c")
    fitting = FittingTable([partial(layout, *cells[:count]) for count in (3, 2, 1)])
    assert printed(fitting, width)[0] == shown
