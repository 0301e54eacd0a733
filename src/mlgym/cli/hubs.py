"""Several hubs behind one option: `--websocket-logging-servers http://a:5002 http://b:5002`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_OPTION: Final = "--websocket-logging-servers"
_SCHEMES: Final = ("http://", "https://")


def spread(arguments: Sequence[str]) -> list[str]:
    """Gives a command line in which the option stands before each of its addresses; no change of a config is one."""
    spread_out: list[str] = []
    is_taking = False
    for argument in arguments:
        # The one right behind the option may be anything: what is no address is complained of later.
        follows = bool(spread_out) and spread_out[-1] == _OPTION
        is_taking = argument == _OPTION or follows or (is_taking and argument.startswith(_SCHEMES))
        if is_taking and not follows and argument != _OPTION:
            spread_out.append(_OPTION)
        spread_out.append(argument)
    return spread_out
