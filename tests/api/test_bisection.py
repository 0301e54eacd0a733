"""Finding the step and the tensor where an experiment and its repetition part, by further runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlgym.api.results import Run
from mlgym.config import config_id
from mlgym.events.codec import seal
from tests.api.trials import DIGITS, again, first_run

STEPS_PER_EPOCH = 20


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Digits, 20 steps an epoch, a schedule that acts after epoch 3."""
    return first_run(DIGITS, tmp_path_factory.mktemp("storage"))


def first_other_digest(one: Path, other: Path) -> tuple[int, int]:
    """Gives (epoch, step) of the first digest that differs, from the lines of two logs with a digest a step."""
    found = []
    for folder in (one, other):
        lines = map(json.loads, (folder / "event_storage.log").read_text().splitlines())
        digests = [event["payload"] for event in lines if event["event_type"] == "digest"]
        found.append({(each["epoch"], each["step"]): (each["parameters"], each["optimizer"]) for each in digests})
    assert len(found[0]) > 1
    return min(place for place in found[0].keys() & found[1].keys() if found[0][place] != found[1][place])


@pytest.mark.parametrize(
    ("change", "step", "epoch", "parts", "tensor"),
    [
        ("optimizer.betas=[0.8, 0.999]", 1, 1, ("optimizer",), "exp_avg"),
        ("model.dropout=0.25", 1, 1, ("parameters", "optimizer"), "layers"),
        ("schedule.milestones=[2]", 2 * STEPS_PER_EPOCH, 2, ("optimizer",), None),
    ],
)
def test_a_change_is_found_at_its_step(
    change: str, step: int, epoch: int, parts: tuple[str, ...], tensor: str | None, original: Run
) -> None:
    """A control run stands in for the original; step and tensor are those of a plain look at both logs."""
    storage = original.path.parent
    verdict = again(storage, original.run_id, experiments=[0], changes=[change], bisect=True)
    assert verdict.bisection is not None
    control, changed = (storage / run_id for run_id in verdict.bisection.run_ids)
    assert "the change is the cause" in verdict.bisection.conclusion
    parting = verdict.bisection.parting
    assert (parting.step, parting.epoch, parting.parts) == (step, epoch, parts)
    assert first_other_digest(control, changed)[1] == step
    assert parting.tensor is None if tensor is None else tensor in str(parting.tensor)
    event = verdict.to_event("x")
    assert event is not None
    assert (event.epoch, event.step) == (epoch, step)


def test_what_does_not_repeat_here_is_found_out(tmp_path: Path) -> None:
    """Noise that no seed governs: two further runs part as well, at the first step of the epoch that it comes in."""
    config: dict[str, Any] = {
        **DIGITS,
        "imports": ["tests.api.unrepeatable"],
        "experiment": {"epochs": 3, "callbacks": [{"use": "unseeded_noise", "epoch": 2}]},
    }
    run = first_run(config, tmp_path)
    verdict = again(tmp_path, run.run_id, experiments=[0], bisect=True)
    assert verdict.bisection is not None
    assert "not determined by config and seed" in verdict.bisection.conclusion
    assert (verdict.bisection.parting.epoch, verdict.bisection.parting.step) == (2, STEPS_PER_EPOCH + 1)
    first, second = (tmp_path / run_id for run_id in verdict.bisection.run_ids)
    assert first_other_digest(first, second) == (1, STEPS_PER_EPOCH + 1)


def test_what_repeats_here_lies_in_what_differs_from_then(tmp_path: Path) -> None:
    """Results that were made in another way than the record says: two runs here agree, and that is the conclusion."""
    run = first_run(DIGITS, tmp_path)
    path = run.path / "0" / "experiment_config.json"
    config = {key: value for key, value in json.loads(path.read_text()).items() if key != "config_id"}
    config["components"]["optimizer"]["eps"] = 1e-3
    path.write_text(json.dumps({"config_id": config_id(config), **config}))
    verdict = again(tmp_path, run.run_id, experiments=[0], bisect=True)
    assert verdict.bisection is not None
    assert verdict.bisection.conclusion.startswith("It repeats here, bit for bit")
    assert verdict.bisection.parting.epoch == 1
    assert verdict.bisection.parting.evidence == "loss"
    # The first update uses `eps`, so that the loss of the second step is the first one to differ.
    assert verdict.bisection.parting.step == 2


def test_what_is_measured_otherwise_does_not_hide_where_digests_part(tmp_path: Path) -> None:
    """Where only metrics differ without the change, the place where digests part is still that of the change."""
    run = first_run(DIGITS, tmp_path)
    log = run.path / "event_storage.log"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for event in lines:
        event.pop("crc", None)
        for loss in event["payload"].get("loss_scores", []):
            if loss["split"] == "test":
                loss["score"] += 1
    log.write_bytes(b"".join(seal(json.dumps(event).encode()) for event in lines))
    verdict = again(tmp_path, run.run_id, experiments=[0], changes=["optimizer.betas=[0.8, 0.999]"], bisect=True)
    assert verdict.bisection is not None
    assert (verdict.bisection.parting.step, verdict.bisection.parting.parts) == (1, ("optimizer",))
    assert "What is measured differs also without it" in verdict.bisection.conclusion


def test_recorded_digests_of_steps_need_no_further_run(tmp_path: Path) -> None:
    """Where the original has a digest a step, so has its repetition, and the place is known at once."""
    run = first_run(DIGITS, tmp_path, overrides=["experiment.digest_every_n_steps=1"])
    verdict = again(tmp_path, run.run_id, experiments=[0], changes=["optimizer.betas=[0.8, 0.999]"], bisect=True)
    assert verdict.bisection is not None
    assert verdict.bisection.run_ids == ()
    assert verdict.bisection.parting.step == 1


def test_an_identical_repetition_is_not_bisected(original: Run) -> None:
    """There is nothing to look for, and no run is made."""
    verdict = again(original.path.parent, original.run_id, experiments=[0], bisect=True)
    assert (verdict.verdict, verdict.bisection) == ("identical", None)
