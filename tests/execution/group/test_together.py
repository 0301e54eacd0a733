"""Processes that a launcher started: who is who, what may be asked for, which device each has, which failure counts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from mlgym.api.together import executor_and_size
from mlgym.errors import RunError
from mlgym.execution import RunOptions
from mlgym.execution.devices import rank_devices
from mlgym.execution.group import together
from mlgym.execution.group.failure import RankEnd, failure_of
from mlgym.execution.group.together import Leader, Standing, is_follower, standing
from mlgym.execution.job import Exit
from mlgym.execution.linux import hang_up, sockets
from mlgym.execution.stop_request import StopRequest

TWO = Standing(rank=0, size=2, local_rank=0, local_size=2)


def test_a_launcher_says_who_is_who() -> None:
    """One process is none of several, whatever it is called; half of the variables are an error, not a lone run."""
    assert standing({}) is None
    assert standing({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert standing({"WORLD_SIZE": "8"}) is None  # a batch system's, perhaps
    found = standing({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"})
    assert found == Standing(rank=3, size=4, local_rank=1, local_size=2)
    with pytest.raises(RunError, match=r"LOCAL_RANK is `` .* unset RANK"):
        standing({"RANK": "0", "WORLD_SIZE": "2"})
    assert not is_follower()


@pytest.fixture
def leads_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this process the first of two, for what is asked before they talk."""
    nobody: Any = SimpleNamespace(standing=TWO)
    monkeypatch.setattr(together, "_leader", Leader(nobody))


@pytest.mark.usefixtures("leads_two")
def test_what_was_decided_outside_cannot_be_asked_for() -> None:
    """Executor, processes and another number of devices are refused with what to leave out."""
    assert executor_and_size(None, None, None) == ("inline", 2)
    assert executor_and_size("inline", 1, 2) == ("inline", 2)
    for wrong in (("processes", None, None), (None, 2, None), (None, None, 3)):
        with pytest.raises(RunError, match=r"was started in 2 processes.*leave"):
            executor_and_size(*wrong)
    assert RunOptions(executor="inline", devices_per_experiment=2).slots() == [("cpu", "cpu")]


def test_alone_nothing_changes_but_inline_is_one_process() -> None:
    """Several devices in this process alone are refused with both remedies."""
    assert executor_and_size(None, 3, 2) == (None, 2)
    with pytest.raises(RunError, match="leave `--executor inline` out, or start it by `torchrun --nproc-per-node 2"):
        RunOptions(executor="inline", devices_per_experiment=2).slots()


@pytest.mark.parametrize(
    ("devices", "size", "local_size", "slot"),
    [
        (["cpu"], 4, 2, ("cpu",) * 4),
        (["cuda"], 4, 2, ("cuda:0", "cuda:1") * 2),
        (["cuda:2", "cuda:3"], 2, 2, ("cuda:2", "cuda:3")),
        (["cuda:0"], 2, 1, ("cuda:0",) * 2),
        (["cuda:0", "cuda:1"] * 2, 4, 2, ("cuda:0", "cuda:1") * 2),
    ],
)
def test_each_rank_has_its_device(devices: list[str], size: int, local_size: int, slot: tuple[str, ...]) -> None:
    """Those of one machine repeat on each; what a run has recorded is taken as it is."""
    assert rank_devices(devices, size, local_size) == slot


def test_too_few_devices_are_refused() -> None:
    """Two ranks on one GPU would share it without being told."""
    with pytest.raises(RunError, match=r"2 processes of one experiment .* name one for each"):
        rank_devices(["cuda:0"], 2, 2)


class DictStore:
    """A store that forgets nothing and waits for nobody."""

    def __init__(self, **values: bytes) -> None:
        self.values = values

    def check(self, keys: list[str]) -> bool:
        return set(keys) <= self.values.keys()

    def get(self, key: str) -> bytes:
        return self.values[key]


def test_a_rank_that_does_not_come_back_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named as the cause, and the run does not go on without it; those that answered count as what they said."""
    monkeypatch.setattr(together, "_GATHER_S", 0.05)
    lockstep = object.__new__(together._Lockstep)
    lockstep.standing = Standing(rank=0, size=4, local_rank=0, local_size=4)
    lockstep.store = DictStore(**{"7/answer/1": b"{}", "7/answer/3": b'{"error": "E", "told_at": 1.0}'})
    led = Leader(lockstep)
    ends = led._gather(7, StopRequest())
    assert [(end.rank, end.error) for end in ends] == [(2, None), (3, "E")]
    assert led.lost == [2]
    assert str(failure_of(ends, 4)) == "rank 2 was lost: it did not say how it ended"


LOST = "RuntimeError: [../gloo/transport/tcp/pair.cc:553] Connection closed by peer"
GIVEN_UP = "RuntimeError: Application timeout caused pair closure"  # that of gloo, in all ranks but one


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        ([RankEnd(rank=0, error=LOST, told_at=1), RankEnd(rank=1, error="E", told_at=2)], "rank 1: E"),
        (
            [RankEnd(rank=0, error=LOST, told_at=1), RankEnd(rank=1, exit=Exit(signal=9))],
            "rank 1 was killed by SIGKILL",
        ),
        ([RankEnd(rank=0, error=LOST, told_at=1), RankEnd(rank=1)], "rank 1 was lost: it did not say how it ended"),
        ([RankEnd(rank=0, error=GIVEN_UP, told_at=1), RankEnd(rank=1, error="E", told_at=2)], "rank 1: E"),
        ([RankEnd(rank=0, error="E", told_at=2), RankEnd(rank=1, error="F", told_at=1)], "rank 1: F"),
        ([RankEnd(rank=0, error="E", told_at=2), RankEnd(rank=1, error="E", told_at=1)], "E"),
        ([RankEnd(rank=1, error="E")], "rank 1: E"),
    ],
)
def test_the_first_failure_counts(ends: list[RankEnd], says: str) -> None:
    """One that died, else the first of those that did not lose a connection; what all say is nobody's own."""
    assert str(failure_of(ends, 2)) == says


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket, socket.socket]]:
    """A listening socket and both ends of a connection."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as one,
        listening.accept()[0] as other,
    ):
        yield listening, one, other


def test_hanging_up_is_heard_and_leaves_the_rest(connection: tuple[socket.socket, ...]) -> None:
    """The other side of a connection sees its end, though the socket is still open here; others are left alone."""
    listening, one, other = connection
    ours = {end: name for end, name in sockets().items() if end in (one.fileno(), listening.fileno())}
    assert len(ours) == 2
    hang_up({one.fileno(): "socket:[0]"})  # the descriptor means something else by now
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(1)
    hang_up(ours)
    assert other.recv(1) == b""
    with socket.create_connection(listening.getsockname()):
        pass
