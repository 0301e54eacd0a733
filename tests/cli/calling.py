"""The command line in this process."""

from __future__ import annotations

import pytest

from mlgym.cli.main import main


def call(*arguments: str) -> int:
    """Runs `mlgym` and gives its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)
