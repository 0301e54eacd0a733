"""The results of an experiment as its events tell them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mlgym.reproduction.results import ExperimentResults, Moment, Steps, experiment_of, results_of
from tests.reproduction.logs import (
    NAMES,
    digest,
    epochs,
    fingerprint,
    losses,
    results,
    resumed,
    scores,
    short,
    status,
    stopped,
)


def test_digests_scores_tables_fingerprints_and_the_end_are_taken() -> None:
    """Each kind of event lands in its place, under its moment."""
    found = results(
        [
            status("RUNNING"),
            fingerprint("train", "a"),
            scores(1, 0.5, rows=[[3.0, 1.0]]),
            digest(1, 4, losses=losses(1, 4), order="0" * 64),
            stopped(1),
            status("DONE"),
        ]
    )
    at = Moment(1, 4)
    assert found.scores == {at: {"val/f1": 0.5, "train/loss": 0.5}}
    assert found.tables == {at: {"val/confusion_matrix": [[3.0, 1.0]]}}
    assert found.digests[at].tensors == tuple(short("same4") for _ in NAMES)
    assert found.digests[at].losses == {Steps(i, i): short(f"loss{i}") for i in (1, 2, 3, 4)}
    assert found.names == list(NAMES)
    assert found.fingerprints["train"].num_samples == 100
    assert (found.stopped, found.end, found.error, found.last_epoch) == (at, "done", None, 1)


def test_losses_are_placed_by_the_digest_before() -> None:
    """A trace covers the steps since the digest before, in groups where it says so; the last group may be short."""
    found = results([digest(1, 4), digest(2, 9, losses=losses(1, 2), steps_per_loss=3)])
    assert list(found.digests[Moment(2, 9)].losses) == [Steps(5, 7), Steps(8, 9)]


def test_the_end_of_an_epoch_is_told_from_digests_within() -> None:
    """The first digest with a new number of finished epochs stands at the end of that epoch."""
    within = [digest(0, 2), digest(0, 4), digest(1, 4), digest(1, 6), digest(2, 8)]
    assert results(within).epoch_ends == {1: Moment(1, 4), 2: Moment(2, 8)}


@pytest.mark.parametrize(("replaces", "left"), [(True, [1, 2]), (False, [1, 2, 3])])
def test_results_that_a_continuation_replaces_are_void(replaces: bool, left: list[int]) -> None:
    """What came after the point of resuming counts only where the continuation repeats it."""
    found = results([*epochs(3), resumed(2, replaces_later=replaces)])
    assert [moment.epoch for moment in found.digests] == left
    assert [moment.epoch for moment in found.scores] == left


def test_a_lineage_that_begins_again_keeps_its_results() -> None:
    """The log drops what it repeats, so that what it sent before it was killed stands; begun elsewhere, it does not."""
    begun = [*epochs(3), resumed(2, replaces_later=True), *epochs(4, first=3)]
    assert results([*begun, resumed(2, replaces_later=True)]).last_epoch == 4
    assert results([*begun, resumed(1, replaces_later=True)]).last_epoch == 1


def test_told_again_a_result_counts_once_and_the_last_one_stands() -> None:
    """An experiment that starts over replaces what it reaches again; its traces begin at step 1 again."""
    found = results([*epochs(2), digest(1, 4, "other", losses=losses(1, 4))])
    assert [moment.epoch for moment in sorted(found.digests)] == [1, 2]
    assert found.digests[Moment(1, 4)].tensors[0] == short("other4")
    assert next(iter(found.digests[Moment(1, 4)].losses)) == Steps(1, 1)


def test_older_digests_have_no_details() -> None:
    """Events from before there were hashes of tensors, losses and order are read."""
    older = {"epoch": 1, "step": 4, "parameters": "aa", "optimizer": "bb", "experiment_id": 0}
    found = results([{"event_type": "digest", "payload": older}])
    entry = found.digests[Moment(1, 4)]
    assert (entry.tensors, entry.losses, entry.order, found.names) == ((), {}, None, [])


@pytest.mark.parametrize(
    "event",
    [
        None,
        7,
        {"event_type": "digest"},
        {"event_type": "digest", "payload": {"epoch": "x", "step": None, "tensors": 3, "losses": "abc"}},
        {"event_type": "evaluation_result", "payload": {"metric_scores": [None, {}], "tables": [{"values": [3]}]}},
        {"event_type": "data_fingerprint", "payload": {"sha256": 1}},
        {"event_type": "job_status", "payload": {"status": 5}},
    ],
)
def test_damaged_events_are_passed_over(event: Any) -> None:
    """Nothing that a log can hold raises."""
    ExperimentResults().take(event)
    assert results_of([(0, event)]) == {}


def test_failures_are_known_and_a_later_attempt_makes_up_for_them() -> None:
    """The end is that of the last attempt."""
    found = results([status("DONE", error="no memory")])
    assert (found.end, found.error) == ("failed", "no memory")
    found.take(status("RUNNING"))
    assert (found.end, found.error) == (None, None)
    found.take(status("DONE", interrupted=True))
    assert found.end == "interrupted"


def test_scores_that_json_cannot_carry() -> None:
    """NaN and infinities come back from their names."""
    event = scores(1, 0.5)
    event["payload"]["metric_scores"] = [{"metric": "f1", "split": "val", "score": None, "non_finite": "nan"}]
    assert math.isnan(results([event]).scores[Moment(1, 4)]["val/f1"])


def test_experiments_of_a_log_are_told_apart() -> None:
    """Each event goes to its experiment; those of the run go nowhere."""
    other = digest(1, 4)
    other["payload"]["experiment_id"] = 3
    of_run = {"event_type": "log", "payload": {"experiment_id": None}}
    found = results_of(enumerate([digest(1, 4), of_run, other]))
    assert list(found) == [0, 3]
    assert experiment_of(of_run) is None
