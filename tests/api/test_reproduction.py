"""Running real experiments again: identical where nothing differs, else what differs is named, with the place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlgym.api.reproduction import compare_runs, reproduce
from mlgym.api.results import Run, load_run
from mlgym.api.resumption import resume
from mlgym.cli.outcome import ways_on
from mlgym.config import config_id
from mlgym.errors import ConfigError, RunError
from mlgym.events import EventLog
from tests.api.trials import DIGITS, NOISY, again, first_other_epoch, first_run, states, verdict_events


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two experiments on digits: dropout, a schedule that changes after epoch 3, four epochs."""
    return first_run(DIGITS, tmp_path_factory.mktemp("storage"))


@pytest.fixture(scope="module", autouse=True)
def _before_anything_is_compared(pristine: Path) -> None:
    """Has the copy made first."""


@pytest.fixture(scope="module")
def pristine(original: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run as it was before anything was compared with it."""
    return Path(shutil.copytree(original.path, tmp_path_factory.mktemp("pristine") / original.run_id))


@pytest.fixture
def copy(pristine: Path, tmp_path: Path) -> Path:
    """The same in a storage folder of its own, to be tampered with."""
    return Path(shutil.copytree(pristine, tmp_path / pristine.name))


def test_nothing_differs_then_it_is_identical(copy: Path) -> None:
    """Every digest of every experiment is compared; nothing is named; the verdicts stand in both logs."""
    verdicts = reproduce(copy.name, storage=copy.parent, experiments="all", progress=False)
    assert [verdict.verdict for verdict in verdicts] == ["identical", "identical"]
    assert [verdict.comparison.num_digests for verdict in verdicts] == [4, 4]
    assert all(not verdict.causes for verdict in verdicts)
    new = copy.parent / verdicts[0].new_run_id
    assert first_other_epoch(copy, new) is None
    for folder in (copy, new):
        events = verdict_events(folder)
        assert [(event["experiment_id"], event["verdict"], event["num_digests"]) for event in events] == [
            (0, "identical", 4),
            (1, "identical", 4),
        ]
        assert {event["grid_search_id"] for event in events} == {folder.name}
        assert {(event["original_run_id"], event["new_run_id"]) for event in events} == {(copy.name, new.name)}


def test_the_new_run_says_what_it_reproduces_and_keeps_numbers_and_configs(original: Run) -> None:
    """Same experiment number, same config id, same name; only the one that was asked for is run."""
    verdict = again(original.path.parent, original.run_id, experiments=[1])
    new = load_run(verdict.new_run_id, original.path.parent)
    assert [one.experiment_id for one in new.experiments] == [1]
    assert (new.state.name, new.state.reproduces) == ("trial", original.run_id)
    assert load_run("latest", original.path.parent).state.reproduces is None
    ids = [json.loads((run.path / "1" / "experiment_config.json").read_text())["config_id"] for run in (original, new)]
    assert ids[0] == ids[1]
    assert yaml.safe_load((new.path / "run_config.yml").read_text())["reproduces"] == original.run_id
    assert (new.path / "grid_search_config.yml").read_text() == (original.path / "grid_search_config.yml").read_text()


def test_a_reproduction_can_itself_be_reproduced(original: Run) -> None:
    """The folder of a reproduction is a run like any other."""
    first = again(original.path.parent, original.run_id, experiments=[0])
    second = again(original.path.parent, first.new_run_id, experiments=[0])
    assert (second.verdict, second.comparison.num_digests) == ("identical", 4)


def test_without_a_choice_the_best_experiment_is_run(original: Run) -> None:
    """It is the one that the run's report puts first."""
    assert again(original.path.parent, original.run_id).experiment_id == original.best().experiment_id


def test_every_kind_of_randomness_repeats(tmp_path: Path) -> None:
    """First weights, dropout and augmentation by all generators: identical, in this process and in others."""
    run = first_run(NOISY, tmp_path)
    assert again(tmp_path, run.run_id).verdict == "identical"
    assert again(tmp_path, run.run_id, executor="processes", processes=1).verdict == "identical"


CHANGES: dict[str, tuple[str, str, int]] = {
    # name: (change, what is named, the epoch that follows from how it works)
    "seed": ("seed=4", "setting seed", 1),
    "batch order": ("loaders.seed=11", "setting loaders.seed", 1),
    "batch size": ("loaders.batch_size=65", "setting loaders.batch_size", 1),
    "optimizer default": ("optimizer.betas=[0.9, 0.99]", "setting optimizer.betas.1", 1),
    "epsilon": ("optimizer.eps=1e-7", "setting optimizer.eps", 1),
    "weight decay": ("optimizer.weight_decay=1e-9", "setting optimizer.weight_decay", 1),
    "dropout": ("model.dropout=0.25", "setting model.dropout", 1),
    "width": ("model.hidden=[9]", "setting model.hidden.0", 1),
    "precision": ("trainer.precision=bf16", "setting trainer.precision", 1),
    "clipping": ("trainer.clip_gradient_norm=0.1", "setting trainer.clip_gradient_norm", 1),
    "label smoothing": ("loss.label_smoothing=0.01", "setting loss.label_smoothing", 1),
    "earlier milestone": ("schedule.milestones=[2]", "setting schedule.milestones.0", 2),
    "later milestone": ("schedule.milestones=[4]", "setting schedule.milestones.0", 3),
    "split": ("split.fractions={train: 0.6, val: 0.2, test: 0.2}", "setting split.fractions.train", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_an_injected_change_is_named_and_the_first_epoch_is_right(name: str, original: Run) -> None:
    """The change is among the causes; the epoch is that of a plain look at both logs, and the one expected."""
    change, named, expected = CHANGES[name]
    verdict = again(original.path.parent, original.run_id, experiments=[0], changes=[change], keep_going=True)
    assert verdict.verdict in ("diverged", "within_tolerance")
    assert named in {f"{each.kind} {each.key}" for each in verdict.causes}
    assert verdict.parting is not None
    epoch = first_other_epoch(original.path, original.path.parent / verdict.new_run_id)
    assert (verdict.parting.epoch, epoch) == (expected, expected)
    assert verdict.comparison.num_equal == expected - 1
    assert verdict.exit_code in (3, 4)


def test_another_number_of_threads_is_named(original: Run) -> None:
    """Threads are recorded; with others the digests may part, and where they do, the epoch is right."""
    verdict = again(original.path.parent, original.run_id, experiments=[0], threads=2, keep_going=True)
    assert ("threads", "threads", 1, 2) in {(each.kind, each.key, each.original, each.new) for each in verdict.causes}
    epoch = first_other_epoch(original.path, original.path.parent / verdict.new_run_id)
    assert (verdict.parting.epoch if verdict.parting else None) == epoch


def test_another_order_of_samples_is_named_as_the_cause(original: Run) -> None:
    """A seed of the loader alone leaves the data as it was and changes the order."""
    verdict = again(original.path.parent, original.run_id, experiments=[0], changes=["loaders.seed=11"])
    kinds = {each.kind for each in verdict.causes}
    assert "order" in kinds
    assert "data" not in kinds


@pytest.mark.parametrize(
    ("section", "key", "value", "named"),
    [
        ("packages", "numpy", "1.0.0", "package numpy"),
        ("packages", "torch", "2.9.0", "package torch"),
        ("cpu", "model", "Abacus 1", "cpu model"),
        ("python", "version", "3.11.0", "python version"),
    ],
)
def test_other_surroundings_are_named(section: str, key: str, value: str, named: str, copy: Path) -> None:
    """What the run recorded is compared with what is there now, and named whether or not bits part."""
    recorded = json.loads((copy / "environment.json").read_text())
    recorded[section][key] = value
    (copy / "environment.json").write_text(json.dumps(recorded))
    verdict = again(copy.parent, copy.name, experiments=[0])
    assert verdict.verdict == "identical"
    assert named in {f"{each.kind} {each.key}" for each in verdict.causes}
    assert f"although these differ: {named}" in verdict.to_text()


def test_a_changed_sample_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value of one row of a CSV file: its split is named; weights part if it is the training split."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{i},{(i * 7) % 13},{i % 2}" for i in range(60)]
    (tmp_path / "data.csv").write_text("\n".join(["a,b,label", *rows]))
    config: dict[str, Any] = {
        **DIGITS,
        "components": {
            "data": {"use": "table", "path": "data.csv", "target": "label"},
            "model": {"use": "mlp", "hidden": [4]},
            "optimizer": {"use": "sgd", "model": "$model", "lr": 0.01},
        },
        "experiment": {"epochs": 2},
    }
    run = first_run(config, tmp_path / "storage")
    seen = set()
    for number in (5, 30, 59):
        changed = [*rows[:number], f"9{rows[number]}", *rows[number + 1 :]]
        (tmp_path / "data.csv").write_text("\n".join(["a,b,label", *changed]))
        verdict = again(tmp_path / "storage", run.run_id)
        (split,) = [each.key for each in verdict.causes if each.kind == "data"]
        epoch = first_other_epoch(run.path, run.path.parent / verdict.new_run_id)
        assert verdict.parting is not None
        if split == "train":
            assert verdict.parting.epoch == epoch
        else:
            assert (verdict.parting.evidence, epoch) == ("score", None)
        seen.add(split)
    assert "train" in seen
    assert len(seen) > 1


def test_a_divergence_stops_the_repetition_unless_told_to_keep_going(original: Run) -> None:
    """Once a metric is out of tolerance the verdict is certain and the rest is not trained; `keep_going` trains it."""
    storage = original.path.parent
    change = ["optimizer.lr=0.3"]
    stopped = again(storage, original.run_id, experiments=[0], changes=change)
    assert (stopped.verdict, stopped.was_stopped, stopped.error) == ("diverged", True, None)
    assert len(states(storage / stopped.new_run_id)) < 4
    whole = again(storage, original.run_id, experiments=[0], changes=change, keep_going=True)
    assert (whole.verdict, whole.was_stopped) == ("diverged", False)
    assert len(states(storage / whole.new_run_id)) == 4


def test_a_loose_tolerance_makes_a_small_change_equal_enough(original: Run) -> None:
    """Bits part, metrics hardly: within tolerance, with the largest relative difference of each metric."""
    change = ["optimizer.weight_decay=1e-9"]
    loose = again(original.path.parent, original.run_id, experiments=[0], changes=change, rtol=0.5)
    assert (loose.verdict, loose.exit_code) == ("within_tolerance", 3)
    assert loose.comparison.largest["val/loss"] > 0
    tight = again(original.path.parent, original.run_id, experiments=[0], changes=change, rtol=0.0)
    assert (tight.verdict, tight.exit_code) == ("diverged", 4)


def test_a_default_that_changed_in_the_code_is_named_and_does_not_run(copy: Path) -> None:
    """The recorded value of every default is what runs again; that the code has another one by now is said."""
    path = copy / "0" / "experiment_config.json"
    config = {key: value for key, value in json.loads(path.read_text()).items() if key != "config_id"}
    config["components"]["optimizer"]["eps"] = 1e-7  # as if that had been the default then
    path.write_text(json.dumps({"config_id": config_id(config), **config}))
    verdict = again(copy.parent, copy.name, experiments=[0], keep_going=True)
    (difference,) = [each for each in verdict.differences if each.kind == "default"]
    assert (difference.key, difference.original, difference.new) == ("optimizer.eps", 1e-7, 1e-8)
    assert not difference.changes_bits
    new = json.loads((copy.parent / verdict.new_run_id / "0" / "experiment_config.json").read_text())
    assert new["components"]["optimizer"]["eps"] == 1e-7


def test_a_parameter_that_is_newer_than_the_run_is_named(copy: Path) -> None:
    """What the run could not record may change results."""
    path = copy / "0" / "experiment_config.json"
    config = {key: value for key, value in json.loads(path.read_text()).items() if key != "config_id"}
    del config["components"]["loss"]["label_smoothing"]
    path.write_text(json.dumps({"config_id": config_id(config), **config}))
    verdict = again(copy.parent, copy.name, experiments=[0])
    (difference,) = [each for each in verdict.causes if each.kind == "parameter"]
    assert (difference.key, difference.original, difference.new) == ("loss.label_smoothing", None, 0.0)


def test_a_config_that_was_edited_is_refused(copy: Path) -> None:
    """The id in the file must be that of its content."""
    path = copy / "0" / "experiment_config.json"
    path.write_text(path.read_text().replace('"dropout": 0.2', '"dropout": 0.3'))
    with pytest.raises(RunError, match=r"was changed since run .* give changes as KEY=VALUE"):
        again(copy.parent, copy.name, experiments=[0])


def test_a_recorded_run_that_stopped_short_is_not_identical(copy: Path) -> None:
    """Cut the last digest out of the original: the repetition goes on longer, which is named."""
    log = copy / "event_storage.log"
    lines = log.read_text().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if '"digest"' in line and '"experiment_id":0' in line)
    log.write_text("".join(line for i, line in enumerate(lines) if i != last))
    verdict = again(copy.parent, copy.name, experiments=[0])
    assert verdict.verdict == "diverged"
    assert "the original run lacks 1 digest from epoch 4 on" in verdict.to_text()


def test_a_repetition_that_fails_has_no_verdict(copy: Path, tmp_path: Path) -> None:
    """Its error is told, exit code 1, and neither log gets a verdict."""
    verdict = again(copy.parent, copy.name, experiments=[0], changes=["loaders.batch_size=1", "model.batch_norm=true"])
    assert (verdict.verdict, verdict.exit_code) == (None, 1)
    assert verdict.error
    assert verdict_events(copy) == []


def test_a_log_that_is_being_written_is_left_alone(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict then stands in the new run only, and that is said."""
    with EventLog.open(copy / "event_storage.log"):
        (verdict,) = reproduce(copy.name, storage=copy.parent, experiments=[0])
    assert verdict.verdict == "identical"
    assert verdict_events(copy) == []
    assert len(verdict_events(copy.parent / verdict.new_run_id)) == 1
    assert f"the verdict is not in the log of run {copy.name}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiments": [7]}, "has no experiment 7"),
        ({"experiments": []}, "`experiments` is `best`, `all`, an outer fold or a list of numbers, but is \\[\\]"),
        ({"experiments": "bset"}, "but is 'bset'"),
        ({"experiments": 0}, "but is 0"),
        ({"changes": ["vars.x=1"]}, "has no `vars` any more"),
        ({"changes": ["optimizer.lr={sweep: [1, 2]}"]}, "makes 2 experiments of one"),
        ({"changes": ["optimizer.lrr=1"]}, "did you mean `lr`"),
        ({"rtol": -1.0}, "must be a number from 0 on"),
        ({"rtol": float("nan")}, "must be a number from 0 on"),
        ({"threads": 0}, "`threads` must be"),
        ({"devices": ["gpu"]}, "there is no device `gpu`"),
    ],
)
def test_wrong_input_is_refused_before_anything_runs(options: dict[str, Any], message: str, original: Run) -> None:
    """Each says what is wrong, and no new run folder is there afterwards."""
    before = sorted(original.path.parent.iterdir())
    with pytest.raises((RunError, ConfigError), match=message):
        again(original.path.parent, original.run_id, **{"experiments": [0], **options})
    assert sorted(original.path.parent.iterdir()) == before


def test_an_unfinished_experiment_is_refused(copy: Path) -> None:
    """There is nothing to compare its end with; resuming is what is wanted."""
    log = copy / "event_storage.log"
    lines = log.read_text().splitlines(keepends=True)
    done = next(i for i, line in enumerate(lines) if '"DONE"' in line)
    log.write_text("".join(lines[:done]))
    with pytest.raises(RunError, match=r"experiment 0 .* is interrupted, not done; `mlgym resume"):
        again(copy.parent, copy.name, experiments=[0])
    with pytest.raises(RunError, match=r"experiment 1 .* has not begun; `mlgym resume"):
        again(copy.parent, copy.name, experiments=[1])


def test_two_runs_that_exist_are_compared_without_training(copy: Path) -> None:
    """Equal ones are identical; of others, configs and data tell the difference."""
    same = first_run(DIGITS, copy.parent)
    verdicts = compare_runs(copy.name, same.run_id, storage=copy.parent)
    assert [(verdict.experiment_id, verdict.verdict) for verdict in verdicts] == [(0, "identical"), (1, "identical")]
    assert len(verdict_events(copy)) == len(verdict_events(same.path)) == 2
    other = first_run(DIGITS, copy.parent, overrides=["seed=4", "experiment.epochs=3"])
    verdict = compare_runs(copy.name, other.run_id, storage=copy.parent)[0]
    assert verdict.verdict == "diverged"
    named = {f"{each.kind} {each.key}" for each in verdict.causes}
    assert {"setting seed", "setting experiment.epochs", "data train", "order epoch 1"} <= named
    assert verdict.parting is not None
    assert verdict.parting.epoch == first_other_epoch(copy, other.path) == 1
    assert "the new run lacks 1 digest from epoch 4 on" in verdict.to_text()
    with pytest.raises(RunError, match="cannot be compared with itself"):
        compare_runs(copy.name, copy.name, storage=copy.parent)


def test_a_reproduction_that_was_stopped_is_no_run_to_go_on_with(tmp_path: Path) -> None:
    """Auto-resume looks for unfinished runs of the same config; a diverged repetition is none."""
    config = {**DIGITS, "experiment": {"epochs": 3}}
    first = first_run(config, tmp_path)
    record = first.path / "0" / "experiment_config.json"
    changed = {key: value for key, value in json.loads(record.read_text()).items() if key != "config_id"}
    changed["components"]["optimizer"]["lr"] = 0.5
    record.write_text(json.dumps({"config_id": config_id(changed), **changed}))
    stopped = again(tmp_path, first.run_id, experiments=[0])
    assert stopped.was_stopped
    assert load_run(stopped.new_run_id, tmp_path).status == "interrupted"
    last = first_run(config, tmp_path, auto_resume=True)
    assert last.run_id not in (first.run_id, stopped.new_run_id)
    with pytest.raises(
        RunError, match=f"repeats experiments of run `{first.run_id}`.* begin it anew with `mlgym repro"
    ):
        resume(stopped.new_run_id, storage=tmp_path, progress=False)
    assert ways_on(stopped.new_run_id, load_run(stopped.new_run_id, tmp_path).state, tmp_path) == []
