"""What starts when in a nested cross validation: nothing waits for more than it depends on."""

from __future__ import annotations

from collections.abc import Callable, Container

from mlgym.execution.course.nested_source import NestedSource
from mlgym.execution.scheduler import Limits, Scheduler
from mlgym.validation.modes import NestedPlan
from tests.execution.test_scheduler import Straw, straw_job
from tests.validation.modes.configs import DIGITS, plan_of


def small_plan(seeds: int | None = None) -> NestedPlan:
    """Gives three outer folds of 2 x 2 competitors and their fit: 0-3 and 4, 5-8 and 9, 10-13 and 14."""
    plan = plan_of(DIGITS, "nested_cross_validation", outer_folds=3, inner_folds=2, seeds=seeds)
    assert isinstance(plan, NestedPlan)
    return plan


def source_of(
    plan: NestedPlan, settled: Container[int] = (), *, lost: Container[int] = ()
) -> tuple[NestedSource, list[int]]:
    """Gives a source, and the outer folds in the order in which they are decided; those of `lost` have no winner."""
    decided: list[int] = []

    def decide(fold: int) -> bool:
        decided.append(fold)
        if fold not in lost:
            plan.decide(fold, 0)
        return fold not in lost

    return NestedSource(plan, settled, decide), decided


def taken(source: Callable[[], int | None], count: int) -> list[int | None]:
    return [source() for _ in range(count)]


def test_a_fit_comes_as_soon_as_its_competitors_are_done() -> None:
    """Before further competitors, and while those of other folds are under way; the last fit is waited for."""
    source, decided = source_of(small_plan())
    assert taken(source, 6) == [0, 1, 2, 3, 5, 6]
    for number in (2, 0, 5, 3):
        source.ended(number)
    assert decided == []
    source.ended(1)
    assert decided == [0]
    assert taken(source, 8) == [4, 7, 8, 10, 11, 12, 13, None]
    for number in (10, 11, 12, 13, 6, 7, 8, 4):
        source.ended(number)
    assert decided == [0, 2, 1]
    assert taken(source, 3) == [14, 9, None]


def test_no_barrier() -> None:
    """While one competitor of the first fold takes its time, all other folds come to their end in the other slot."""
    straw, plan = Straw(capacity=2), small_plan()
    source, _ = source_of(plan)
    straw.scheduler = Scheduler(
        source,
        straw_job,
        slots=straw.slots,
        record=straw,
        limits=Limits(),
        ended=lambda number, outcome: source.ended(number),
        clock=lambda: straw.now,
    )

    def end_one() -> None:
        job_id = next((job_id for job_id in straw.running if job_id != "run-0"), "run-0")
        straw.succeed(job_id)

    straw.then = end_one
    straw.scheduler.run(straw)
    assert straw.scheduler.counts.succeeded == 15
    assert [number for number, _, _ in straw.ends] == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0, 4]


def test_going_on_in_the_middle() -> None:
    """What has ended is not asked for again; a fold whose competitors are done is decided at once."""
    plan = small_plan()
    source, decided = source_of(plan, settled={0, 1, 2, 3, 5, 6, 7})
    assert taken(source, 3) == [4, 8, 10]
    assert decided == [0]
    source, decided = source_of(plan, settled={0, 1, 2, 3})
    assert (taken(source, 2), decided) == ([4, 5], [])
    source, decided = source_of(plan, settled=range(15))
    assert (taken(source, 1), decided) == ([None], [])


def test_a_fold_without_a_winner_holds_nobody_up() -> None:
    """Its fit never comes, all others do."""
    source, decided = source_of(small_plan(), lost={0})
    for number in taken(source, 12):
        assert number is not None
        source.ended(number)
    assert decided == [0, 1, 2]
    assert taken(source, 3) == [9, 14, None]


def test_a_fit_for_each_seed() -> None:
    """The winner is fitted under all seeds."""
    source, _ = source_of(small_plan(seeds=3))
    for number in taken(source, 12):
        assert number is not None
        source.ended(number)
    assert taken(source, 4) == [12, 13, 14, 15]
