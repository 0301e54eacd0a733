"""Killed drivers, servers and workers of experiments with several ranks, and what is left of them: nothing."""

from __future__ import annotations

import time

import psutil
import pytest

from tests.execution.test_orphans import PROTECTED, Program, Starter, start
from tests.programs import is_alive
from tests.waiting import wait_for

__all__ = ["start"]
UNPROTECTED = ["tests.execution.jobs", "tests.execution.group.unprotected"]


def running(start: Starter, preload: list[str]) -> Program:
    """A driver with one experiment, whose two ranks hang with the GIL held."""
    program = start(["hang"], processes=1, devices_per_experiment=2, node_retries=0, code={"preload": preload})
    everybody = psutil.Process(program.popen.pid).children
    program.wait_until(lambda: len(everybody(recursive=True)) == 4 and program.num_running() == 1)
    return program


def family(program: Program) -> dict[str, psutil.Process]:
    """Gives driver, server, worker and one of the ranks."""
    driver = psutil.Process(program.popen.pid)
    (server,) = driver.children()
    (worker,) = server.children()
    return {"driver": driver, "server": server, "worker": worker, "rank": worker.children()[0]}


@pytest.mark.parametrize("killed", [("driver",), ("driver", "server"), ("worker",), ("server", "worker"), ("rank",)])
def test_no_rank_outlives_its_experiment(killed: tuple[str, ...], start: Starter) -> None:
    """Whoever is killed, and however many at once: all ranks end."""
    program = running(start, PROTECTED)
    members = family(program)
    for each in killed:
        members[each].kill()
    if "driver" in killed:
        program.popen.wait(120)
    else:
        stdout, _ = program.end()
        assert '"failed": 1' in stdout
    assert program.survivors(60) == []
    if killed == ("rank",):
        assert program.state().experiments[0].exit_signal == "SIGKILL"


def test_without_protection_ranks_would_outlive_a_killed_driver(start: Starter) -> None:
    """The control: without a server that kills and ranks that die with their parent, ranks survive, and are seen."""
    program = running(start, UNPROTECTED)
    members = family(program)
    ranks = members["worker"].children()
    # One that has not come to hang yet would fail at what it says to nobody.
    in_a_row = 0
    while in_a_row < 20:
        in_a_row = in_a_row + 1 if all(rank.status() == psutil.STATUS_SLEEPING for rank in ranks) else 0
        time.sleep(0.02)
    killed = [members[each] for each in ("driver", "server", "worker")]
    for each in killed:
        each.kill()
    program.popen.wait(120)
    wait_for(lambda: not any(map(is_alive, killed)))
    assert len(program.survivors(1)) == 2
