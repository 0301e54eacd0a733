"""Several addresses behind one option of the command line."""

from __future__ import annotations

import pytest

from mlgym.cli.hubs import spread

OPTION = "--websocket-logging-servers"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("run c.yml", "run c.yml"),
        ("run c.yml a=1 -W http://a http://b a=2", "run c.yml a=1 -W http://a -W http://b a=2"),
        ("run -W http://a https://b -W http://c c.yml", "run -W http://a -W https://b -W http://c c.yml"),
        ("run -W http://a c.yml http://b", "run -W http://a c.yml http://b"),
        ("run -W nonsense http://b", "run -W nonsense -W http://b"),
        ("sync RUN --to http://a http://b", "sync RUN --to http://a http://b"),
        ("run c.yml -W", "run c.yml -W"),
    ],
)
def test_spread(given: str, expected: str) -> None:
    """The option stands before each of its addresses, and nothing else changes."""
    assert spread(given.replace("-W", OPTION).split()) == expected.replace("-W", OPTION).split()
