"""Verdicts as events, text and exit codes."""

from __future__ import annotations

from typing import Any

import pytest

from mlgym.events import Difference
from mlgym.reproduction.comparison import Parting, compare
from mlgym.reproduction.results import Moment, Steps
from mlgym.reproduction.verdict import Bisection, Verdict, difference_text, exit_code, place_text
from tests.reproduction.logs import digest, epochs, losses, results, scores

THREADS = Difference("threads", "threads", 1, 2, True, "run with `--threads 1`")
BRANCH = Difference("git", "branch", "main", "trial", False)


def verdict(original: list[Any], new: list[Any], **facts: Any) -> Verdict:
    return Verdict(
        experiment_id=0,
        original_run_id="old",
        new_run_id="new",
        comparison=compare(results(original), results(new)),
        **facts,
    )


def test_identical() -> None:
    """Number of digests, exit code 0, and an event without a place."""
    found = verdict(epochs(3), epochs(3))
    assert found.headline == "experiment 0: identical (3 digests, bit for bit)"
    assert found.exit_code == 0
    event = found.to_event("old")
    assert event is not None
    assert (event.grid_search_id, event.verdict, event.num_digests) == ("old", "identical", 3)
    assert (event.epoch, event.step, event.tensor) == (None, None, None)


def test_within_tolerance() -> None:
    """The largest relative difference by metric, where bits part, exit code 3."""
    found = verdict(epochs(3), epochs(3, differs_from=2, factor=1.001), differences=(THREADS,))
    assert found.headline.startswith("experiment 0: equal within tolerance (0.001), largest relative difference val/f1")
    assert found.exit_code == 3
    lines = found.to_text().splitlines()
    assert lines[1] == "  bits part in epoch 2, in steps 5 to 8, first in `layer.weight`"
    assert lines[2] == "  differs: threads: 1 -> 2 (run with `--threads 1`)"
    event = found.to_event("new")
    assert event is not None
    assert (event.verdict, event.epoch, event.tensor) == ("within_tolerance", 2, "layer.weight")
    assert event.largest_relative_difference["train/loss"] == 0.0


def test_diverged() -> None:
    """Epoch, step and tensor, the causes with remedies before what cannot be one, exit code 4."""
    original = [scores(1, 0.5), digest(1, 4, losses=losses(1, 4))]
    new = [scores(1, 0.9), digest(1, 4, "other", losses=losses(1, 4, 3))]
    found = verdict(original, new, differences=(THREADS, BRANCH))
    assert found.to_text().splitlines() == [
        "experiment 0: diverged in epoch 1, at step 3, whose loss is the first that differs, first in `layer.weight`",
        "  largest relative difference val/f1 0.44",
        "  differs: threads: 1 -> 2 (run with `--threads 1`)",
    ]
    event = found.to_event("new")
    assert event is not None
    assert (event.verdict, event.epoch, event.step) == ("diverged", 1, 3)
    assert event.differences == [THREADS, BRANCH]
    assert found.exit_code == 4


def test_without_a_known_cause_it_says_so() -> None:
    """Nobody is left without a next step."""
    found = verdict(epochs(2), epochs(2, differs_from=1, factor=9))
    assert found.to_text().splitlines()[-1] == "  nothing that was recorded differs: see `--bisect`"


def test_missing_results_are_what_the_headline_says() -> None:
    """A shorter run names what is missing and where that begins."""
    found = verdict(epochs(3), epochs(2))
    assert found.headline == "experiment 0: diverged: the new run lacks 1 digest from epoch 3 on"
    assert found.to_text().count("lacks 1 digest") == 1
    event = found.to_event("new")
    assert event is not None
    assert event.epoch == 3


def test_a_failed_repetition_has_no_verdict_unless_its_bits_parted_before() -> None:
    """What it did not come to is not judged; exit code 1 either way."""
    failed = verdict(epochs(3), epochs(2), error="no memory")
    assert (failed.verdict, failed.to_event("new"), failed.exit_code) == (None, None, 1)
    assert failed.headline == "experiment 0: failed, no verdict: no memory"
    parted = verdict(epochs(3), epochs(2, differs_from=1, factor=5), error="no memory")
    assert (parted.verdict, parted.exit_code) == ("diverged", 1)
    assert "  failed then: no memory" in parted.to_text().splitlines()


def test_what_was_cut_short_on_purpose_is_not_called_missing() -> None:
    """A repetition that was stopped at its divergence says how to go on instead."""
    stopped = verdict(epochs(3), epochs(1, differs_from=1, factor=5), was_stopped=True)
    assert not any("lacks" in line for line in stopped.to_text().splitlines())
    assert "--keep-going" in stopped.to_text()


def test_identical_in_spite_of_differences_names_them() -> None:
    """That other threads made no difference is worth knowing."""
    found = verdict(epochs(1), epochs(1), differences=(THREADS, BRANCH))
    assert found.to_text().splitlines()[1:] == ["  although these differ: threads: 1 -> 2"]


def test_fast_is_named() -> None:
    """A run that allowed other bits says so in its verdict."""
    assert verdict(epochs(1), epochs(1), determinism="fast").headline.endswith("; determinism: fast")


def test_a_bisection_gives_the_place() -> None:
    """What it found replaces the range that was known before, in text and event."""
    exact = Parting(Moment(0, 3), 1, Steps(3, 3), "digest", ("optimizer",), "optimizer.0.exp_avg")
    found = verdict(epochs(2), epochs(2, differs_from=1, factor=9))
    found = found.with_bisection(Bisection(parting=exact, conclusion="It is the threads.", run_ids=("a", "b")))
    assert found.headline == (
        "experiment 0: diverged in epoch 1, at step 3, in the optimizer only, first in `optimizer.0.exp_avg`"
    )
    assert "  It is the threads." in found.to_text().splitlines()
    event = found.to_event("new")
    assert event is not None
    assert (event.step, event.tensor) == (3, "optimizer.0.exp_avg")


@pytest.mark.parametrize(
    ("parting", "text"),
    [
        (Parting(Moment(0, 0), 0, Steps(0, 0), "digest"), "before training, at step 0"),
        (Parting(Moment(1, 4), 1, Steps(1, 4), "digest", ("parameters",)), "in epoch 1, in steps 1 to 4, in the "),
        (Parting(Moment(1, 4), 1, Steps(3, 4), "loss"), "in epoch 1, at steps 3 to 4, whose loss is the first"),
        (Parting(Moment(1, 4), 1, Steps(1, 3), "length"), "in epoch 1, which ends at another step"),
        (Parting(Moment(1, 4), 1, Steps(4, 4), "score"), "in epoch 1, in what is measured; parameters and"),
    ],
)
def test_places_in_words(parting: Parting, text: str) -> None:
    """Each kind of evidence says how near it comes."""
    assert place_text(parting).startswith(text)


def test_exit_codes_of_several() -> None:
    """A failure before a divergence before a difference within tolerance; none is success."""
    same, near = verdict(epochs(1), epochs(1)), verdict(epochs(3), epochs(3, differs_from=2, factor=1.001))
    far, failed = verdict(epochs(2), epochs(1)), verdict(epochs(2), epochs(1), error="x")
    assert exit_code([]) == 0
    assert exit_code([same, same]) == 0
    assert exit_code([same, near]) == 3
    assert exit_code([near, far, same]) == 4
    assert exit_code([near, far, failed]) == 1


def test_hashes_and_long_values_are_shortened() -> None:
    """A line stays a line."""
    assert difference_text(Difference("code", "model", "ab" * 32, None, True)) == "code model: abababababab… -> nothing"
    code = Difference("code", "parts.model", "1", "2", True)
    assert difference_text(code, {"parts.model": "parts/model.py"}) == "code parts.model (`parts/model.py`): 1 -> 2"
    assert len(difference_text(Difference("git", "diff", "x y" * 500, None, True))) < 120
