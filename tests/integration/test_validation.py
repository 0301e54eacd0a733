"""Whole runs with folds: failed experiments, going on in the middle, repeats and archives, leaks that are not there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlgym.api import Run, load_run, resume, run
from mlgym.api.pack import pack
from mlgym.api.recorded import OuterFold
from mlgym.api.reproduction import reproduce
from mlgym.api.unpack import unpack
from mlgym.components.data import table
from mlgym.components.data.labels import num_samples_of
from mlgym.config import RunFacts, build_component, dump_yaml
from mlgym.errors import RunError
from mlgym.events import RunState, read_log
from tests.integration.unsteady import unsteady_config
from tests.programs import environment
from tests.validation.modes.configs import DIGITS, with_validation
from tests.waiting import wait_for

QUALITIES = [0.5, 0.9, 0.7]  # experiments 0-5 and their fit 6, 7-12 and 13, 14-19 and 20
NESTED = {"outer_folds": 2, "inner_folds": 2, "stratified": True}
SHORT = ["experiment.epochs=1", "experiment.steps_per_epoch=3"]


def inline(config: dict[str, Any], storage: Path, **options: Any) -> Run:
    return run(config, storage=storage, progress=False, executor="inline", **options)


def payloads(finished: Run, event_type: str) -> list[dict[str, Any]]:
    entries = read_log(finished.path / "event_storage.log")
    return [entry.event["payload"] for entry in entries if entry.event["event_type"] == event_type]


def winners(state: RunState) -> dict[int, int | None]:
    return {fold: selection.configuration for fold, selection in state.selections.items()}


def stopped_after(config: dict[str, Any], storage: Path, num_ended: int, **options: Any) -> str:
    """Runs until so many experiments have ended, then stops as Ctrl-C would; gives the run's id."""
    from mlgym.config import check, load
    from mlgym.execution import RunOptions, launch

    ended = 0

    def watch(event: dict[str, Any]) -> bool:
        nonlocal ended
        ended += event["event_type"] == "job_status" and event["payload"]["status"] == "DONE"
        return bool(ended >= num_ended)

    document = load(config)
    settings = RunOptions(storage=storage, executor="inline", **options)
    summary = launch(document, check(document), settings, command=["test"], on_event=watch)
    assert summary.exit_code == 130
    return summary.run_id


def test_a_failed_inner_experiment_costs_its_configuration_the_fold(tmp_path: Path) -> None:
    """It ranks last there, is told, and the other outer folds know nothing of it."""
    failing = tmp_path / "failing.json"
    failing.write_text("[3]")
    finished = inline(unsteady_config(failing, QUALITIES), tmp_path)
    assert (finished.exit_code, finished.num_failed, finished.status) == (1, 1, "finished")
    assert winners(finished.state) == {0: 2, 1: 1, 2: 1}
    first = finished.state.selections[0]
    assert (first.num_failed, [one.configuration for one in first.scores]) == (1, [2, 0, 1])
    assert (first.scores[-1].mean, first.scores[-1].num_failed) == (None, 1)
    fit = finished.state.experiments[6]
    assert (fit.swept, fit.trial["role"], fit.trial["configuration"]) == ({"experiment.quality": 0.7}, "outer", 2)
    assert finished.state.validation["num_outer_folds"] == 3
    # `$run.fold` is the inner fold, and the outer one in the fit.
    assert finished.state.experiments[8].metrics["val/score"].values[-1] == 0.49
    assert finished.state.experiments[20].metrics["val/score"].values[-1] == pytest.approx(0.88)


def test_a_fold_without_a_winner(tmp_path: Path) -> None:
    """Its fit fails with the reason, all else comes to its end; tried again with success, it is chosen anew."""
    failing = tmp_path / "failing.json"
    failing.write_text("[0, 2, 4]")
    finished = inline(unsteady_config(failing, QUALITIES), tmp_path, run_id="run")
    assert winners(finished.state) == {0: None, 1: 1, 2: 1}
    fit = finished.state.experiments[6]
    assert (fit.status, fit.trial["role"], fit.trial["outer_fold"]) == ("failed", "outer", 0)
    assert "outer fold 0 has no winner: each of its 3 configurations has inner experiments without" in str(fit.error)
    assert finished.state.final_counts == {"succeeded": 17, "failed": 4, "interrupted": 0, "not_started": 0}
    failing.unlink()
    again = resume("run", storage=tmp_path, retry_failed=True, progress=False)
    assert (again.exit_code, winners(again.state)) == (0, {0: 1, 1: 1, 2: 1})
    assert again.state.experiments[6].swept == {"experiment.quality": 0.9}
    assert again.state.final_counts["succeeded"] == 21


def test_a_choice_stands(tmp_path: Path) -> None:
    """What failed before its outer fold was decided is not tried again, since the fit of the winner is done."""
    failing = tmp_path / "failing.json"
    failing.write_text("[3, 20]")
    inline(unsteady_config(failing, QUALITIES), tmp_path, run_id="run")
    failing.unlink()
    again = resume("run", storage=tmp_path, retry_failed=True, progress=False)
    assert winners(again.state) == {0: 2, 1: 1, 2: 1}
    assert [again.state.experiments[number].status for number in (3, 20)] == ["failed", "done"]
    (told,) = [log["message"] for log in payloads(again, "log") if "stays failed" in log["message"]]
    assert told.startswith("experiment 3 stays failed: the winner of its outer fold was chosen without it")


@pytest.mark.parametrize("num_ended", [7, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 6, 13, 20))])
def test_going_on_in_the_middle(num_ended: int, tmp_path: Path) -> None:
    """Wherever it was stopped, the rest runs once, and the same wins as without a stop."""
    config = unsteady_config(tmp_path / "failing.json", QUALITIES)
    expected = inline(config, tmp_path / "whole").state
    run_id = stopped_after(config, tmp_path, num_ended)
    before = {key for key, one in load_run(run_id, tmp_path).state.experiments.items() if one.status == "done"}
    assert len(before) == num_ended
    again = resume(run_id, storage=tmp_path, progress=False)
    assert again.exit_code == 0
    assert winners(again.state) == winners(expected)
    assert {key: one.trial for key, one in again.state.experiments.items()} == {
        key: one.trial for key, one in expected.experiments.items()
    }
    started = [job["experiment_id"] for job in payloads(again, "job_status") if job["status"] == "RUNNING"]
    assert sorted(started) == list(range(21))
    assert len(payloads(again, "selection_made")) == 3
    # Nothing is left: nothing is written.
    size = (again.path / "event_storage.log").stat().st_size
    resume(run_id, storage=tmp_path, progress=False)
    assert (again.path / "event_storage.log").stat().st_size == size


@pytest.mark.slow
def test_what_a_nested_run_cannot_do(tmp_path: Path) -> None:
    """More epochs after winners were chosen; a metric that nobody measures, which ends it at the first experiment."""
    config = unsteady_config(tmp_path / "failing.json", QUALITIES, select={"metric": "val/scor", "best": "max"})
    with pytest.raises(RunError, match="decides by `val/scor`, which experiment 0 did not measure; did you mean"):
        inline(config, tmp_path, run_id="run")
    state = load_run("run", tmp_path).state
    assert (len(state.experiments), state.selections) == (1, {})
    trained = with_validation(DIGITS, "nested_cross_validation", **NESTED)
    inline(trained, tmp_path, run_id="short", overrides=[*SHORT, "experiment.early_stopping=[]"])
    with pytest.raises(RunError, match="cannot go on to more epochs: what it chose, it chose by what fewer gave"):
        resume("short", storage=tmp_path, epochs=2, progress=False)


@pytest.mark.slow
def test_an_outer_fold_again_and_in_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nested run is repeated bit for bit, one outer fold with all that decided it, also after it was packed."""
    # Whatever is loaded from the working directory counts as the user's code: the other tests should not.
    monkeypatch.chdir(tmp_path)
    config = with_validation(DIGITS, "nested_cross_validation", **NESTED)
    original = inline(config, tmp_path, run_id="original", overrides=SHORT)
    assert original.exit_code == 0
    packed = pack("original", storage=tmp_path, to=tmp_path / "original.zip")
    elsewhere = unpack(packed.path, to=tmp_path / "elsewhere").folder.storage
    verdicts = reproduce("original", experiments=OuterFold(1), storage=elsewhere, progress=False)
    assert [verdict.experiment_id for verdict in verdicts] == [5, 6, 7, 8, 9]
    assert {verdict.verdict for verdict in verdicts} == {"identical"}
    again = load_run(verdicts[0].new_run_id, elsewhere).state
    assert again.experiments[9].trial == original.state.experiments[9].trial
    assert again.validation == original.state.validation
    # The winner of that fold was chosen anew, by the new scores.
    assert again.selections == {1: original.state.selections[1]}
    decisions = verdicts[0].decisions
    assert decisions is not None
    assert (decisions.are_the_same, decisions.num_recorded, decisions.from_new_results) == (True, 1, True)
    with pytest.raises(RunError, match="has no outer fold 2: it has 0 to 1"):
        reproduce("original", experiments=OuterFold(2), storage=tmp_path, progress=False)


def test_bits_do_not_depend_on_the_fold_beside(tmp_path: Path) -> None:
    """An experiment's config alone, as a run of its own, gives the same digests as within cross validation."""
    config = with_validation(DIGITS, "cross_validation", folds=3)
    within = inline(config, tmp_path, overrides=[*SHORT, "optimizer.lr=0.01"])
    number = 2
    single = inline(dict(within.state.experiments[number].config), tmp_path / "alone")
    assert single.state.experiments[0].digest == within.state.experiments[number].digest
    others = {within.state.experiments[other].digest for other in (0, 1)}
    assert within.state.experiments[number].digest not in others


def leaky_table(path: Path) -> None:
    """Writes rows whose category and size give the fold away that they are held out in: each fold has its own."""
    lines = ["fold,colour,size,sick"]
    for row in range(60):
        fold = row % 3
        lines.append(f"{fold},colour{fold},{1000.0 * fold**2 + row % 7},{row % 2 if row % 9 else 1}")
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_nothing_is_learned_from_what_is_held_out(fold: int, tmp_path: Path) -> None:
    """Categories, means, deviations and class weights are those of the training rows of each fold.

    The control learns before the split, and has seen the held-out category and size.
    """
    from mlgym.config import check, load, resolve

    leaky_table(tmp_path / "table.csv")
    components = {
        "data": {"use": "table", "path": str(tmp_path / "table.csv"), "target": "sick", "metadata": ["fold"]},
        "split": {"use": "random_split", "dataset": "$data", "fractions": {"train": 0.7, "val": 0.3}},
        "encoded": {"use": "encode_features", "datasets": "$split"},
        "scaled": {"use": "standardize", "datasets": "$encoded"},
        "loaders": {"datasets": {"train": "$scaled.train", "val": "$scaled.val", "test": "$scaled.val"}},
        "loss": {"class_weights": {"use": "balanced_class_weights", "dataset": "$split.train"}},
    }
    config = {**DIGITS, "components": {**DIGITS["components"], **components}}
    # The preset's split has a third part; it is replaced as a whole since its `use` differs.
    folds = {"use": "predefined_folds", "column": "fold", "folds": 3}
    plan = check(load(with_validation(config, "cross_validation", folds=folds)))
    assert plan.warnings == []
    resolved = resolve(plan[fold].config)
    encoded = build_component(resolved, "encoded", RunFacts())
    assert f"colour=colour{fold}" not in encoded["train"].features
    assert set(encoded["val"].inputs[:, :2].unique().tolist()) == {0.0}  # its category is unknown
    scaled = build_component(resolved, "scaled", RunFacts())
    sizes = scaled["train"].inputs[:, -1]
    assert float(sizes.mean()) == pytest.approx(0, abs=1e-5)
    assert float(scaled["val"].inputs[:, -1].mean().abs()) > 0.3
    parts = build_component(resolved, "split", RunFacts())
    counts = np.bincount(parts["train"].targets.numpy())
    weights = build_component(resolved, "loss", RunFacts()).class_weights.tolist()
    assert weights == pytest.approx((40 / (2 * counts)).tolist())

    whole = table(str(tmp_path / "table.csv"), "sick", metadata=["fold"])
    early = build_component(
        {"components": {
            "data": components["data"],
            "encoded": {"use": "encode_features", "datasets": {"all": "$data"}, "fit_on": "all"},
        }}, "encoded", RunFacts(),
    )  # fmt: skip
    assert num_samples_of(whole) == 60
    assert f"colour=colour{fold}" in early["all"].features


def test_seeds_and_folds_in_a_run(tmp_path: Path) -> None:
    """Seeds crossed with folds: the same rows under each seed, other weights."""
    config = with_validation(DIGITS, "cross_validation", folds=2, seeds=2)
    finished = inline(config, tmp_path, overrides=[*SHORT, "optimizer.lr=0.01"])
    experiments = finished.state.experiments
    trials = [(one.trial["fold"], one.trial["seed"]) for one in experiments.values()]
    assert trials == [(0, 3), (0, 4), (1, 3), (1, 4)]
    prints: dict[int, set[Any]] = {}
    for data in payloads(finished, "data_fingerprint"):
        if data["split"] == "val":
            prints.setdefault(experiments[data["experiment_id"]].trial["fold"], set()).add(data["sha256"])
    assert [len(found) for found in prints.values()] == [1, 1]
    assert len({str(one.digest) for one in experiments.values()}) == 4
    assert experiments[0].sizes == {"train": 763, "val": 764, "test": 270}


def test_a_way_to_split_of_ones_own(tmp_path: Path) -> None:
    """A class with `num_folds` and `split` is enough, inside of folds and in the config of each experiment."""
    config = unsteady_config(tmp_path / "failing.json", QUALITIES[:1], outer_folds={"use": "every_other"})
    finished = inline(config, tmp_path)
    assert (finished.exit_code, len(finished.experiments)) == (0, 2 * (2 + 1))
    fit = build_component(finished.state.experiments[2].config, "split", RunFacts())
    assert fit["test"].inputs[:, 0].tolist() == list(range(0, 24, 2))


def test_warnings_are_in_the_log(tmp_path: Path) -> None:
    """Selecting by test data is told where the run is read, not at the check alone."""
    finished = inline({**DIGITS, "validation": {"mode": "grid_search", "select": {"metric": "test/f1_macro"}}},
                      tmp_path, overrides=[*SHORT, "optimizer.lr=0.01"])  # fmt: skip
    told = [log["message"] for log in payloads(finished, "log") if log["level"] == "warning"]
    assert any("selects on test data, by `test/f1_macro`" in line for line in told)
    assert json.dumps(finished.state.validation["select"]["metric"]) == '"test/f1_macro"'


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_driver_in_the_middle(tmp_path: Path) -> None:
    """SIGKILL to the driver of several workers while outer folds are decided: the rest runs, the same wins."""
    config = unsteady_config(tmp_path / "failing.json", QUALITIES)
    (tmp_path / "config.yml").write_text(dump_yaml(config))
    command = [sys.executable, "-m", "mlgym", "run", "config.yml", "-p", "3", "--storage", ".", "--run-id", "run"]
    held = tmp_path / "held.json"
    held.write_text("[19]")  # the last competitor of the last outer fold
    driver = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = tmp_path / "run" / "event_storage.log"
    try:
        wait_for(lambda: driver.poll() is not None or (log.exists() and b'"selection_made"' in log.read_bytes()), 200)
        assert driver.poll() is None
    finally:
        driver.kill()
        driver.wait()
    held.unlink()
    before = load_run("run", tmp_path).state
    assert 0 < len(before.selections) < 3
    again = resume("run", storage=tmp_path, progress=False)
    assert (again.exit_code, winners(again.state)) == (0, {0: 1, 1: 1, 2: 1})
    done = [job for job in payloads(again, "job_status") if job["status"] == "DONE" and not job["error"]]
    assert len(done) >= 21
    assert [one.status for one in again.state.experiments.values()] == ["done"] * 21
