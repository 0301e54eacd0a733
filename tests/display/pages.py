"""Pages of a given size to print on."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType


def printed(renderable: RenderableType, width: int = 120) -> list[str]:
    """Gives the lines that a terminal of this width would show, without the space at their ends."""
    stream = io.StringIO()
    # As `mlgym.display.output.console` has it, but for the stream.
    Console(file=stream, width=width, highlight=False, markup=False, emoji=False).print(renderable)
    return [line.rstrip() for line in stream.getvalue().rstrip("\n").split("\n")]
