"""Modes of validation on the command line: counted, listed, switched, and warned of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.cli.test_commands import CONFIG

NESTED = "validation: {mode: nested_cross_validation, outer_folds: 2, inner_folds: 2}\n"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small nested cross validation, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nested.yml").write_text(CONFIG + NESTED)
    return "nested.yml"


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ([], "10 experiments: 2 outer folds x (2 configurations x 2 inner folds + 1 fit of the winner)"),
        (["validation.seeds=2"], "(2 configurations x 2 inner folds x 2 seeds + 2 fits of the winner)"),
        (
            ["validation.mode=cross_validation", "validation.seeds=3"],
            "30 experiments: 2 configurations x 5 folds x 3 seeds",
        ),
        (["validation.mode=grid_search"], "all right, 2 experiments\n"),
        (["validation.mode=random_search", "validation.num_samples=1"], "all right, 1 experiment\n"),
    ],
)
def test_check_says_what_it_comes_to(
    changes: list[str], counted: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The number of experiments with its factors, for each mode."""
    assert call("check", config, *changes) == 0
    assert counted in capsys.readouterr().out


def test_expand_lists_what_each_experiment_is_for(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Folds and values, those of a fit that is not decided yet left open; its config cannot be shown, others can."""
    assert call("expand", config) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["id", "role", "outer", "fold", "fold", "optimizer.lr"]
    assert lines[4] == ["3", "inner", "0", "1", "0.01"]
    assert lines[5] == ["4", "outer", "0", "of", "the", "winner"]
    assert call("expand", config, "-e", "3") == 0
    assert "use: fold_split" in capsys.readouterr().out
    assert call("expand", config, "-e", "4") == 2
    assert "the experiments 0 to 3 decide" in capsys.readouterr().err
    assert call("expand", config, "--json", "--limit", "5") == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["num_experiments"], listed["validation"]["num_outer_folds"]) == (10, 2)
    assert listed["experiments"][4]["swept"] is None
    assert listed["experiments"][4]["trial"]["role"] == "outer"


def test_warnings_are_told(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Deciding by test data is no error, and never silent."""
    change = "validation.select={metric: test/f1_macro, best: max}"
    assert call("check", config, change) == 0
    assert "warning: command line" in (told := capsys.readouterr()).err
    assert "selects on test data, by `test/f1_macro`" in told.err
    assert call("check", config, change, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["ok"]
    assert len(facts["warnings"]) == 1
    assert facts["validation"]["mode"] == "nested_cross_validation"


def test_a_search_says_what_is_searched(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """How many trials at most, by what, compared when; expanding it lists parameters, as no trial is chosen yet."""
    search = "validation={mode: search, strategy: {use: asha}, num_trials: 2}"
    assert call("check", config, search, "experiment.epochs=9") == 0
    counted = "2 experiments at most: a search by asha, 2 trials over 1 parameter, compared after 1, 3, 9 epochs\n"
    assert capsys.readouterr().out.endswith(counted)
    assert (
        call("expand", config, search, "experiment.epochs=9", "optimizer.lr={sweep: {log_uniform: [1e-4, 0.1]}}") == 0
    )
    said = capsys.readouterr()
    assert "optimizer.lr  log_uniform from 0.0001 to 0.1" in said.out
    assert "is decided while it runs" in said.err
    assert call("expand", config, search, "experiment.epochs=9", "-e", "1") == 2
    assert "chooses the configuration of trial 1 while it runs" in capsys.readouterr().err
