"""What holds for all tests, and how their files are shared out among several processes.

A file stays together, and so do those with one cluster. Examples that Hypothesis makes up are the same each time,
however slowly they come; `pytest --hypothesis-profile explore` looks for others, by hand.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# The size of a terminal that nobody looks at; what tests print goes into pipes, as wide as it needs to be.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)

settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", settings.get_profile("explore"), derandomize=True, database=None)
settings.load_profile("repeat")

_TOGETHER: Final = ("tests/execution/ray/",)
# Begun first where several processes share the tests: what takes minutes at the end leaves the others idle.
_LONG: Final = ("tests/execution/ray/", "tests/integration/", "tests/execution/slurm/")


class _Files(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """As `--dist loadfile`; the files of some folders count as one, since what they share takes long to start."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in _TOGETHER if file.startswith(folder)), file)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Makes what a test printed fit to be sent to another process: file names may be no UTF-8."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode("utf-8")) for title, text in report.sections
    ]
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts long tests first in a process that shares the tests with others; alone, all stay in their order."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Gives what shares the tests out, in the order in which they come."""
    config.option.loadscopereorder = False
    return _Files(config, log)
