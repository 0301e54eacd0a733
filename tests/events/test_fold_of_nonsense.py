"""The fold is total: whatever a log holds, it takes what it understands and passes over the rest."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.events.runs import state_of

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
known_types = st.sampled_from(
    [
        "run_started",
        "run_resumed",
        "run_finished",
        "environment",
        "experiment_config",
        "job_status",
        "experiment_status",
        "evaluation_result",
        "checkpoint_saved",
        "checkpoint_deleted",
        "data_fingerprint",
        "digest",
        "log",
        "model_summary",
        "selection_made",
        "search_decision",
        "search_result",
        "system_metrics",
        "something_new",
    ]
)
scores = st.dictionaries(st.sampled_from(["metric", "loss", "split", "score", "non_finite", "values"]), json_values)
payload_keys = [
    "grid_search_id name command versions num_experiments validation_mode num_succeeded environment config swept",
    "status starting_time finishing_time error stacktrace device exit_signal attempt log_tail interrupted num_epochs",
    "current_epoch current_split num_batches current_batch epoch step path bytes sha256 reasons parameters optimizer",
    "level logger message steps_per_s rss_bytes trial validation outer_fold configuration metric best rule score",
    "num_failed num_configurations split num_samples action trial epochs rung choices state reason until_epoch",
]
payloads = st.dictionaries(
    st.sampled_from(" ".join(payload_keys).split()),
    json_values | st.sampled_from(["INIT", "RUNNING", "DONE", "try", "finish", "paused"]),
    max_size=8,
)
full_payloads = st.builds(
    lambda payload, more, experiment_id: payload | more | {"experiment_id": experiment_id},
    payloads,
    st.dictionaries(
        st.sampled_from(["metric_scores", "loss_scores", "tables", "scores"]), st.lists(scores | json_values)
    ),
    st.integers(-1, 2) | json_values,
)
events = st.builds(
    lambda event_type, created, payload: {"event_type": event_type, "creation_ts": created, "payload": payload},
    known_types | json_values,
    json_values,
    full_payloads | json_values,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(events | json_values, max_size=8))
def test_nothing_makes_it_raise(nonsense: list[Any]) -> None:
    """Fields that are missing, too many or of the wrong type are passed over."""
    run = state_of(*[{"event_type": "log"}])
    for event_id, event in enumerate(nonsense):
        run.apply(event_id, event)
    assert run.status in ("running", "finished", "interrupted")
    assert sum(run.counts.values()) >= len(run.experiments)
    for experiment in run.experiments.values():
        for key, history in experiment.metrics.items():
            assert len(history.epochs) == len(history.steps) == len(history.values)
            assert experiment.latest(key) is not None
            experiment.best(key, "max")
        assert experiment.duration_s is None or experiment.duration_s >= 0
    run.mark_crashed()
