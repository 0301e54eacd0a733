"""Comparing results: what counts as identical, and where two experiments part."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest

from mlgym.reproduction.comparison import FARTHEST, Comparison, RunningComparison, compare, relative
from mlgym.reproduction.results import Moment, Steps
from tests.reproduction.logs import digest, epochs, fingerprint, losses, results, resumed, scores


def compared(original: list[Any], new: list[Any], **options: Any) -> Comparison:
    return compare(results(original), results(new), **options)


def test_equal_results_are_identical() -> None:
    """All digests and values equal: identical, with their number."""
    found = compared(epochs(3), epochs(3))
    assert (found.verdict, found.num_digests, found.num_equal) == ("identical", 3, 3)
    assert (found.parting, found.missing, found.worst) == (None, (), None)


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_the_first_epoch_whose_digest_differs_is_named(epoch: int) -> None:
    """The epoch is that of the first unequal digest, also where later ones differ too."""
    found = compared(epochs(4), epochs(4, differs_from=epoch, factor=5))
    assert found.verdict == "diverged"
    assert found.parting is not None
    assert (found.parting.epoch, found.parting.moment) == (epoch, Moment(epoch, 4 * epoch))
    assert (found.num_digests, found.num_equal) == (4, epoch - 1)
    assert found.parting.steps == Steps(4 * epoch - 3, 4 * epoch)
    assert found.parting.step is None


def test_other_bits_with_nearly_the_same_metrics_are_within_tolerance() -> None:
    """Digests differ, every value is closer than `rtol`: within tolerance; with a smaller one: diverged."""
    pair = epochs(3), epochs(3, differs_from=2, factor=1.001)
    found = compared(*pair)
    assert found.verdict == "within_tolerance"
    assert found.worst is not None
    assert found.worst[0] == "val/f1"
    assert found.worst[1] == pytest.approx(0.03 * 0.001 / 0.53, rel=1e-2)
    assert compared(*pair, rtol=1e-6).verdict == "diverged"


@pytest.mark.parametrize("changed", range(1, 9))
def test_the_step_comes_from_the_first_loss_that_differs(changed: int) -> None:
    """With a hash per step the step is exact; the epoch is the one that it is in."""
    original = [digest(1, 4, losses=losses(1, 4)), digest(2, 8, losses=losses(5, 8))]
    states = ["same" if changed > last else "other" for last in (4, 8)]
    new = [
        digest(1, 4, states[0], losses=losses(1, 4, changed)),
        digest(2, 8, states[1], losses=losses(5, 8, changed)),
    ]
    parting = compared(original, new).parting
    assert parting is not None
    assert (parting.step, parting.epoch, parting.evidence) == (changed, 1 if changed <= 4 else 2, "loss")


def test_groups_of_losses_give_a_range_of_steps() -> None:
    """A hash for three steps cannot say which of them it was."""
    original = [digest(1, 6, losses=losses(1, 2), steps_per_loss=3)]
    new = [digest(1, 6, "other", losses=losses(1, 2, 2), steps_per_loss=3)]
    parting = compared(original, new).parting
    assert parting is not None
    assert (parting.steps, parting.step) == (Steps(4, 6), None)


def test_traces_of_different_digests_fit_together() -> None:
    """A repetition with a digest at each step is compared with an original that has one an epoch."""
    original = [digest(1, 4, losses=losses(1, 4)), digest(2, 8, losses=losses(5, 8))]
    new = [digest((step - 1) // 4, step, losses=losses(step, step, 6)) for step in (1, 2, 3, 4)]
    new += [digest(1, 4), *(digest(1, step, "other", losses=losses(step, step, 6)) for step in (5, 6, 7, 8))]
    new += [digest(2, 8, "other")]
    found = compared(original, new)
    assert found.missing == ()
    assert found.parting is not None
    assert (found.parting.step, found.parting.epoch, found.num_digests) == (6, 2, 2)


def test_digests_at_each_step_name_step_and_tensor() -> None:
    """The first digest that differs is at the step where they part; its first differing tensor is named."""
    original = [digest(0, 1), digest(0, 2), digest(0, 3), digest(1, 4)]
    new = [
        digest(0, 1),
        digest(0, 2, tensors=["same", "other", "same"]),
        digest(0, 3, "other"),
        digest(1, 4, "other"),
    ]
    parting = compared(original, new).parting
    assert parting is not None
    assert (parting.epoch, parting.step, parting.tensor) == (1, 2, "layer.bias")
    assert parting.parts == ("parameters",)


@pytest.mark.parametrize(
    ("tensors", "parts", "tensor"),
    [
        (["other", "same", "same"], ("parameters",), "layer.weight"),
        (["same", "same", "other"], ("optimizer",), "optimizer.0.exp_avg"),
        (["other", "other", "other"], ("parameters", "optimizer"), "layer.weight"),
    ],
)
def test_it_is_said_which_part_of_the_state_differs(tensors: list[str], parts: tuple[str, ...], tensor: str) -> None:
    """Parameters, optimizer or both, and the first tensor in the order of the state."""
    parting = compared([digest(1, 4)], [digest(1, 4, tensors=tensors)]).parting
    assert parting is not None
    assert (parting.parts, parting.tensor) == (parts, tensor)


def test_another_number_of_tensors_is_named_by_the_first_that_is_too_many() -> None:
    """A model with one tensor less parts at the first tensor that is not the same one."""
    one, other = digest(1, 4), digest(1, 4)
    other["payload"] |= {"tensors": one["payload"]["tensors"][:16], "parameters": "x"}
    parting = compared([one], [other]).parting
    assert parting is not None
    assert parting.tensor == "optimizer.0.exp_avg"


def test_older_digests_still_give_epoch_and_part() -> None:
    """Without hashes of tensors and losses, the epoch and the part of the state are all that can be said."""
    plain = {"tensors": "", "names": [], "losses": ""}
    one, other = digest(1, 4), digest(1, 4, "other")
    one["payload"] |= plain
    other["payload"] |= plain
    parting = compared([one], [other]).parting
    assert parting is not None
    assert (parting.epoch, parting.tensor, parting.step) == (1, None, None)
    assert parting.parts == ("parameters", "optimizer")


def test_nothing_compared_is_never_identical() -> None:
    """No digest in common: no verdict, or one about the metrics alone."""
    assert compared([], []).verdict is None
    assert compared(epochs(2), []).verdict == "diverged"
    assert compared([scores(1, 0.5)], [scores(1, 0.5)]).verdict == "within_tolerance"
    assert compared([digest(1, 4)], [digest(2, 8)]).verdict == "diverged"


@pytest.mark.parametrize(("first_other_loss", "evidence", "steps"), [(None, "length", (1, 3)), (2, "loss", (2, 2))])
def test_an_epoch_of_another_length_is_where_they_part(
    first_other_loss: int | None, evidence: str, steps: tuple[int, int]
) -> None:
    """An epoch with other steps is no missing digest; its scores are still compared."""
    original = [scores(1, 0.5), digest(1, 4, losses=losses(1, 4)), scores(2, 0.5), digest(2, 8, losses=losses(5, 8))]
    shorter = scores(2, 0.4)
    shorter["payload"]["step"] = 6
    new = [scores(1, 0.5), digest(1, 3, losses=losses(1, 3, first_other_loss)), shorter, digest(2, 6)]
    new[0]["payload"]["step"] = 3
    found = compared(original, new)
    assert (found.verdict, found.missing, found.num_equal) == ("diverged", (), 0)
    assert found.parting is not None
    assert (found.parting.epoch, found.parting.evidence, found.parting.steps) == (1, evidence, steps)
    assert found.largest["val/f1"] == pytest.approx(0.2)
    running = RunningComparison(results(original))
    for each in new:
        running.take(each)
    assert running.parting == found.parting


@pytest.mark.parametrize("shorter", ["original", "new"])
def test_what_one_run_lacks_is_named(shorter: str) -> None:
    """A run that ended earlier is not identical, however equal the rest is."""
    runs = {"original": epochs(3), "new": epochs(3)}
    runs[shorter] = epochs(2)
    found = compared(**runs)
    assert found.verdict == "diverged"
    assert found.parting is None
    assert {(each.side, each.what, each.first.epoch, each.count) for each in found.missing} == {
        (shorter, "digest", 3, 1),
        (shorter, "evaluation", 3, 1),
    }
    whose = "the original run" if shorter == "original" else "the new run"
    assert str(found.missing[0]) == f"{whose} lacks 1 digest from epoch 3 on"


def test_a_metric_that_is_gone_is_missing() -> None:
    """A metric of another name is no equal metric."""
    found = compared([scores(1, 0.5), digest(1, 4)], [scores(1, 0.5, metric="f1_macro"), digest(1, 4)])
    assert found.verdict == "diverged"
    assert [str(each) for each in found.missing] == [
        "the new run lacks `val/f1` from epoch 1 on",
        "the original run lacks `val/f1_macro` from epoch 1 on",
    ]


def test_equal_weights_with_other_metrics_are_not_identical() -> None:
    """An evaluation that measures something else is found although training repeats."""
    found = compared([scores(1, 0.5), digest(1, 4)], [scores(1, 0.6), digest(1, 4)])
    assert (found.verdict, found.num_equal) == ("diverged", 1)
    assert found.parting is not None
    assert (found.parting.evidence, found.parting.epoch, found.parting.parts) == ("score", 1, ())


def test_tables_are_compared_cell_by_cell() -> None:
    """A confusion matrix that differs in a cell, or in its shape, is another result."""
    found = compared([scores(1, 0.5, rows=[[100, 1]])], [scores(1, 0.5, rows=[[99, 1]])])
    assert found.largest["val/confusion_matrix"] == pytest.approx(0.01)
    found = compared([scores(1, 0.5, rows=[[1]])], [scores(1, 0.5, rows=[[1, 1]])])
    assert found.largest["val/confusion_matrix"] == FARTHEST


def test_another_order_of_samples_is_the_cause() -> None:
    """The first epoch with another order is named, once; where nobody knows the order, nothing is said."""
    original = [digest(1, 4, order="a"), digest(2, 8, order="b"), digest(3, 12, order="c")]
    new = [digest(1, 4, order="a"), digest(2, 8, "other", order="x"), digest(3, 12, "other", order="y")]
    assert [(each.kind, each.key) for each in compared(original, new).differences] == [("order", "epoch 2")]
    assert compared([digest(1, 4, order="a")], [digest(1, 4, "other")]).differences == ()


def test_other_data_is_the_cause() -> None:
    """A split with another fingerprint is named; fingerprints of different coverage are not compared."""
    original = [fingerprint("train", "a"), fingerprint("val", "b"), fingerprint("test", "c")]
    new = [
        fingerprint("train", "x", num_samples=99),
        fingerprint("val", "b"),
        fingerprint("test", "d", covers="sampled"),
    ]
    (difference,) = compared(original, new).differences
    assert (difference.kind, difference.key, difference.changes_bits) == ("data", "train", True)
    assert difference.original.startswith("100 samples, sha256 ")
    assert difference.new.startswith("99 samples")


def test_what_a_continuation_replaced_is_not_compared() -> None:
    """The results that stand are those after resuming."""
    original = [*epochs(3, differs_from=3), resumed(2, replaces_later=True), *epochs(3, first=3)]
    assert compared(original, epochs(3)).verdict == "identical"
    assert compared(original[:6], epochs(3)).verdict == "within_tolerance"


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        (1.0, 1.0, 0.0),
        (0.0, 0.0, 0.0),
        (math.nan, math.nan, 0.0),
        (math.inf, math.inf, 0.0),
        (math.nan, 1.0, FARTHEST),
        (math.inf, -math.inf, FARTHEST),
        (0.0, 1e-12, 1.0),
        (1.0, -1.0, 2.0),
        (100.0, 99.0, 0.01),
        (1e308, -1e308, 2.0),
    ],
)
def test_relative_differences(one: float, other: float, difference: float) -> None:
    """By the larger of the two sizes, whichever comes first, without overflow."""
    assert relative(one, other) == pytest.approx(difference)
    assert relative(other, one) == pytest.approx(difference)


def test_a_running_comparison_knows_the_parting_at_once() -> None:
    """It is known with the event that shows it, and what comes later does not change it."""
    running = RunningComparison(results(epochs(4)))
    seen = []
    for event in epochs(4, differs_from=3, factor=5):
        running.take(event)
        seen.append((running.num_equal, running.parting.epoch if running.parting else None))
    assert seen == [(0, None), (1, None), (1, None), (2, None), (2, None), (2, 3), (2, 3), (2, 3)]
    assert running.is_beyond_tolerance


def test_a_running_comparison_ends_as_the_whole_one() -> None:
    """On a hundred random pairs of logs, event by event gives the same as all at once."""
    rng = random.Random(7)
    verdicts = set()
    for _, count in itertools.product(range(25), (1, 2, 3, 5)):
        differs = rng.choice([None, None, *range(1, count + 1)])
        original = epochs(count)
        new = epochs(
            rng.choice([count, count, max(1, count - 1)]), differs_from=differs, factor=rng.choice([1.0001, 3])
        )
        running = RunningComparison(results(original))
        for event in new:
            running.take(event)
        whole = compared(original, new)
        assert running.result() == whole
        by_digest = whole.parting if whole.parting and whole.parting.evidence != "score" else None
        assert running.parting == by_digest
        assert running.num_equal == whole.num_equal
        verdicts.add(whole.verdict)
    assert verdicts == {"identical", "within_tolerance", "diverged"}
