"""In which surroundings the attempts of an experiment ran."""

from __future__ import annotations

from typing import Any

from mlgym.events import CodeChanged, Difference, Environment
from mlgym.reproduction.surroundings import Surroundings
from tests.reproduction.logs import WHO, event, resumed, status


def environment(sha256: str, **facts: Any) -> dict[str, Any]:
    """The surroundings of a driver whose user has a module `net`."""
    found = {"threads": 1, "code": {"net": {"path": "net.py", "sha256": sha256}}, **facts}
    return event(Environment(grid_search_id="run", environment=found))


def changed(old: str, new: str, attempt: int = 0) -> dict[str, Any]:
    difference = Difference("code", "net", old, new, True, "`net.py` was edited meanwhile")
    return event(CodeChanged(**WHO, attempt=attempt, changes=[difference]))


def surroundings(*events: dict[str, Any]) -> Surroundings:
    found = Surroundings()
    assert [each for _, each in found.watching(enumerate(events))] == list(events)
    return found


def codes(found: Surroundings) -> list[str]:
    return [one["code"]["net"]["sha256"] for one in found.of(0)]


def test_an_experiment_of_a_later_driver_began_in_its_surroundings() -> None:
    """What the run was launched with says nothing about it; the file stands for the first driver only."""
    found = surroundings(environment("a"), environment("b"), status("RUNNING", attempt=0))
    assert codes(found) == ["b"]
    assert found.of(0, {"threads": 9}) == [found.environments[1]]
    assert surroundings(environment("a"), status("RUNNING")).of(0, {"threads": 9}) == [{"threads": 9}]
    assert found.changes(0) == []


def test_what_changed_between_attempts_is_named() -> None:
    """After which epoch, and what; what changes no bits is not."""
    found = surroundings(
        environment("a", memory_bytes=1),
        status("RUNNING", attempt=0),
        environment("b", memory_bytes=2),
        status("RUNNING", attempt=1),
        resumed(2, replaces_later=True),
    )
    assert codes(found) == ["a", "b"]
    (change,) = found.changes(0)
    assert (change.kind, change.key, change.original, change.new, change.changes_bits) == (
        "meanwhile", "code net", "a", "b", True,
    )  # fmt: skip
    assert "from epoch 3" in change.hint


def test_an_attempt_of_which_nothing_is_left_does_not_count() -> None:
    """The next one began where it had begun: all there is comes from other code."""
    first = [environment("a"), status("RUNNING", attempt=0), environment("b"), status("RUNNING", attempt=1)]
    found = surroundings(*first, resumed(0, replaces_later=True))
    assert (codes(found), found.changes(0)) == (["b"], [])
    last = [environment("c"), status("RUNNING", attempt=2), resumed(3, replaces_later=True)]
    found = surroundings(*first, resumed(2, replaces_later=True), environment("x"), status("RUNNING", attempt=2), *last)
    assert codes(found)[:2] == ["a", "b"]


def test_code_that_a_process_told_of_counts() -> None:
    """A task that was put back into the queue imports what is there by then, and has no driver of its own."""
    found = surroundings(
        environment("a"),
        status("RUNNING", attempt=0),
        status("RUNNING", attempt=1),
        changed("a", "b", 1),
        resumed(1, replaces_later=True),
        # Taken over by another driver: told again, and no other attempt.
        environment("c"),
        status("RUNNING", attempt=1),
    )
    assert codes(found) == ["a", "b"]
    assert [(each.original, each.new) for each in found.changes(0)] == [("a", "b")]


def test_nonsense_is_passed_over() -> None:
    """Old, partial and hostile logs."""
    broken = {"event_type": "code_changed", "payload": {"experiment_id": 0, "changes": [1, {"kind": "code"}]}}
    found = surroundings({}, broken, status("RUNNING"), broken, {"event_type": "job_status", "payload": 3})
    assert found.of(0) == [{}]
    assert found.of(7) == []
