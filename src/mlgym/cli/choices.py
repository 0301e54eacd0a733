"""Options that take one of a few words."""

from __future__ import annotations

import typer

from mlgym.names import did_you_mean


def choice(value: str, choices: tuple[str, ...], option: str) -> str:
    """Gives the value of an option back when it is one of the choices.

    Raises:
        typer.BadParameter: it is not; the text has the nearest one.
    """
    if value not in choices:
        raise typer.BadParameter(f"there is no `{value}`{did_you_mean(value, choices)}", param_hint=option)
    return value
