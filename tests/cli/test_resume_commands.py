"""`resume`, `checkpoints` and `export` as people and scripts use them, and the older warm start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import mlgym
from mlgym.api import Run
from mlgym.cli.older import translate
from tests.cli.calling import call

CONFIG = """\
version: 1
extends: preset/classification
name: small
components:
  data: {use: iris}
  model: {use: mlp, hidden: [8]}
  optimizer: {use: adam, model: $model, lr: {sweep: [0.1, 0.01]}}
experiment: {epochs: 2, checkpoints: {use: keep_all}}
"""


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage folder of a finished run of two experiments with two checkpoints each."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.yml").write_text(CONFIG)
    mlgym.run(folder / "small.yml", storage=folder / "storage", run_id="done", executor="inline", progress=False)
    return folder / "storage"


@pytest.fixture
def storage(finished_once: Path, tmp_path: Path) -> Path:
    """A copy of that folder, for one test."""
    return Path(shutil.copytree(finished_once, tmp_path / "storage"))


def _cut(storage: Path, last_event: str) -> None:
    """Makes the run one that died right after some event."""
    log = storage / "done" / "event_storage.log"
    lines = log.read_bytes().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if last_event.encode() in line)
    log.write_bytes(b"".join(lines[: last + 1]))


def test_a_finished_run_has_nothing_to_resume(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its table, exit code 0, that nothing is left, and no word about resuming."""
    assert call("resume", "done", "--storage", str(storage)) == 0
    printed = capsys.readouterr()
    assert "optimizer.lr" in printed.out
    assert "nothing is left to do: 2 done\n" in printed.err
    assert "resume with" not in printed.err
    assert call("resume", "latest", "--storage", str(storage), "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "finished"


def test_a_crashed_run_says_how_to_go_on(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`show` tells the command, and the command ends the run."""
    _cut(storage, '"experiment_config"')
    assert call("show", "done", "--storage", str(storage)) == 0
    assert f"resume with: mlgym resume done --storage {storage}" in capsys.readouterr().err
    assert call("resume", "done", "--storage", str(storage), "--processes", "1") == 0
    assert call("show", "done", "--storage", str(storage)) == 0
    printed = capsys.readouterr()
    assert "finished: 2 done" in printed.out
    assert "resume with" not in printed.err


def test_epochs_on_the_command_line(storage: Path) -> None:
    """Finished experiments go on to more epochs, and `--epochs` needs no further word."""
    assert call("resume", "done", "--storage", str(storage), "--epochs", "3") == 0
    run = mlgym.load_run("done", storage)
    assert [list(one.history("val/loss").epochs) for one in run.experiments] == [[1, 2, 3]] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resume", "done", "optimizer.eps=1e-7"], "optimizer.eps: added, 1e-07"),
        (["resume", "done", "optimizer.lrr=1"], "did you mean `lr`"),
        (["resume", "done", "seed=3"], "seed: 0 -> 3"),
        (["resume", "done", "--executor", "inlin"], "did you mean `inline`"),
        (["resume", "other"], "there is no run `other`"),
        (["checkpoints", "done", "-e", "7"], "has no experiment 7 (known: 0, 1)"),
        (["export", "done", "-e", "0", "--to", "x.pt"], "must end in `.safetensors`"),
        (["export", "done", "-e", "0", "--to", "x.safetensors", "--checkpoint", "lst"], "did you mean `last`"),
        (["export", "done", "-e", "0", "--to", "no/x.safetensors"], "cannot be written"),
    ],
)
def test_bad_input_is_a_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    storage: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Neither a traceback nor anything on stdout; the text says what is there or what to do."""
    monkeypatch.chdir(tmp_path)
    assert call(*arguments, "--storage", str(storage)) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_checkpoints_are_listed_and_verified(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that stand, by experiment; one that was changed and one that is gone are named, and the exit code is 1."""
    assert call("checkpoints", "done", "--storage", str(storage), "--verify", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(one["experiment_id"], one["epoch"], one["damage"]) for one in listed] == [
        (0, 1, None), (0, 2, None), (1, 1, None), (1, 2, None),
    ]  # fmt: skip
    assert all(one["num_bytes"] > 0 and one["saved_at"] > 0 and one["reasons"] for one in listed)
    changed = storage / "done" / "0" / "checkpoints" / listed[0]["name"] / "model.safetensors"
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    shutil.rmtree(storage / "done" / "1" / "checkpoints" / listed[3]["name"])
    assert call("checkpoints", "done", "--storage", str(storage), "--verify") == 1
    printed = capsys.readouterr()
    assert printed.out.count("damaged") == 2
    assert f"checkpoint file {changed} does not match its manifest" in printed.err
    assert f"{listed[3]['name']} is gone" in printed.err
    assert call("checkpoints", "done", "--storage", str(storage), "-e", "0") == 0


def test_removals_that_a_killed_driver_did_not_tell_are_no_damage(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log of a run that died may name checkpoints for which newer ones stand; without a newer one it is damage."""
    _cut(storage, '"checkpoint_saved"')
    older, newer = sorted((storage / "done" / "1" / "checkpoints").iterdir())
    shutil.rmtree(older)
    assert call("checkpoints", "done", "--storage", str(storage), "-e", "1", "--verify") == 0
    assert older.name not in capsys.readouterr().out
    shutil.rmtree(newer)
    assert call("checkpoints", "done", "--storage", str(storage)) == 1
    assert f"{newer.name} is gone" in capsys.readouterr().err


def test_a_run_with_failures_says_how_to_try_them_again(
    storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`run`, `resume` that leaves them alone, and `show` name the command; it is not named once all is well."""
    config = tmp_path / "small.yml"
    config.write_text(CONFIG)
    assert call("show", "done", "--storage", str(storage)) == 0
    assert "--retry-failed" not in capsys.readouterr().err
    run = ["run", str(config), "--storage", str(storage), "--run-id", "late", "--executor", "processes"]
    assert call(*run, "--time-limit-s", "0.01") == 1
    remedy = f"try failed experiments again: mlgym resume late --storage {storage} --retry-failed"
    assert remedy in capsys.readouterr().err
    assert call("resume", "late", "--storage", str(storage)) == 1
    assert remedy in capsys.readouterr().err
    assert call("show", "late", "--storage", str(storage)) == 0
    assert remedy in capsys.readouterr().err


def test_messages_on_a_recorded_config_name_the_run(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong with it is said of the run, as nobody wrote a file."""
    record = storage / "done" / "run_config.yml"
    record.write_text(record.read_text().replace("use: iris", "use: irris"))
    assert call("resume", "done", "--storage", str(storage)) == 2
    assert capsys.readouterr().err.startswith("run done: components.data.use: no component is registered as `irris`")


def test_weights_are_exported(storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are those of the model, a file that is there is kept unless told, and damaged ones are never written."""
    target = tmp_path / "weights.safetensors"
    export = ["export", "done", "--storage", str(storage), "-e", "1", "--to", str(target)]
    assert call(*export, "--checkpoint", "last") == 0
    assert "experiment 1, epoch 2" in capsys.readouterr().err
    run: Run = mlgym.load_run("done", storage)
    model = run.experiments[1].load_model("last")
    weights = load_file(target)
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert call(*export, "--checkpoint", "last") == 2
    assert "exists already" in capsys.readouterr().err
    first = next(one for one in sorted((storage / "done" / "1" / "checkpoints").iterdir()) if "epoch_1" in one.name)
    assert call(*export, "--checkpoint", first.name, "--force") == 0
    before = target.read_bytes()
    (first / "model.safetensors").write_bytes(b"x")
    assert call(*export, "--checkpoint", first.name, "--force") == 2
    assert "does not match its manifest" in capsys.readouterr().err
    assert target.read_bytes() == before


def test_the_older_warm_start_is_translated_word_for_word() -> None:
    """The command of MLgym 0.0.75 becomes a `mlgym resume` that does the same."""
    older = (
        "--process_count 3 --text_logging_path general_logging/ --num_epochs 20 "
        "--websocket_logging_servers http://127.0.0.1:5002 --gs_rest_api_endpoint http://127.0.0.1:5001 "
        "warm_start --grid_search_id 2022-05-06--12-00-00 --gs_config_path gs_config.yml"
    )
    assert translate(older.split()) == [
        "resume", "2022-05-06--12-00-00", "--processes", "3", "--epochs", "20",
        "--text-logging-path", "general_logging/", "--rest-endpoint", "http://127.0.0.1:5001",
        "--config", "gs_config.yml", "--websocket-logging-servers", "http://127.0.0.1:5002",
    ]  # fmt: skip


def test_auto_resume_on_the_command_line(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same command again ends the run that died, rather than starting another one."""
    _cut(storage, '"experiment_config"')
    config = storage.parent / "small.yml"
    config.write_text(CONFIG)
    command = ["run", str(config), "--storage", str(storage), "--executor", "inline", "--auto-resume", "--json"]
    assert call(*command) == 0
    assert json.loads(capsys.readouterr().out)["run_id"] == "done"
    assert [path.name for path in storage.iterdir()] == ["done"]
