"""What people see of reproductions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlgym.display.output import print_json
from mlgym.display.reproduction import tell, verdicts_facts, verdicts_text
from mlgym.events import Difference, ExperimentState, ReproductionRecord
from mlgym.reproduction.comparison import compare
from mlgym.reproduction.verdict import Verdict
from mlgym.validation.report import reproduction_lines, reproduction_text
from tests.reproduction.logs import epochs, results


def record(**facts: Any) -> ReproductionRecord:
    default: dict[str, Any] = {
        "original_run_id": "old", "new_run_id": "new", "verdict": "diverged", "num_digests": 3, "epoch": None,
        "step": None, "tensor": None,
    }  # fmt: skip
    return ReproductionRecord(**default | facts)


def verdict(number: int, differs_from: int | None = None, **facts: Any) -> Verdict:
    found = compare(results(epochs(2)), results(epochs(2, differs_from=differs_from, factor=9)))
    return Verdict(experiment_id=number, original_run_id="old", new_run_id="new", comparison=found, **facts)


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"verdict": "identical"}, "identical (3 digests) in run new, of run old"),
        (
            {"epoch": 2, "step": 7, "tensor": "a.b"},
            "diverged (3 digests, bits part in epoch 2, at step 7, first in `a.b`) in run new, of run old",
        ),
        ({"verdict": "of a newer version"}, "of a newer version (3 digests) in run new, of run old"),
        ({"tensor": "\x1b[2J"}, "diverged (3 digests, bits part first in `\\x1b[2J`) in run new, of run old"),
    ],
)
def test_remembered_verdicts(facts: dict[str, Any], text: str) -> None:
    """Place and runs in a line; what a log holds cannot drive the terminal."""
    assert reproduction_text(record(**facts)) == text


def test_only_experiments_with_a_verdict_are_listed() -> None:
    """By number; a grid of a hundred fills no page."""
    experiments = [ExperimentState(number, reproduction=record()) for number in reversed(range(100))]
    lines = reproduction_lines([*experiments, ExperimentState(200)])
    assert lines[0].startswith("experiment 0 reproduced: diverged")
    assert (len(lines), lines[-1]) == (21, "... and 80 more")
    assert reproduction_lines([ExperimentState(0)]) == []


def test_what_was_decided_again_is_said_once() -> None:
    """After the experiments, for each run that repeats this one."""
    experiments = [ExperimentState(number, reproduction=record(decisions="all the same")) for number in range(2)]
    experiments.append(ExperimentState(2, reproduction=record(new_run_id="newer", decisions="one is not")))
    assert reproduction_lines(experiments)[3:] == ["all the same, in run new", "one is not, in run newer"]


def test_several_verdicts_end_with_their_numbers() -> None:
    """One has its text alone, several a line that counts the kinds."""
    assert verdicts_text([verdict(0)]) == "experiment 0: identical (2 digests, bit for bit)"
    many = [verdict(0), verdict(1, differs_from=1), verdict(2), verdict(3, error="no memory")]
    assert verdicts_text(many).splitlines()[-1] == "2 identical, 1 diverged, 1 failed"


def test_json_has_every_fact(capsys: pytest.CaptureFixture[str]) -> None:
    """The facts go through JSON whole."""
    threads = Difference("threads", "threads", 1, 2, True, "run with `--threads 1`")
    print_json(verdicts_facts([verdict(4, differs_from=2, differences=(threads,))]))
    facts = json.loads(capsys.readouterr().out)
    (one,) = facts["verdicts"]
    assert (facts["exit_code"], one["experiment_id"], one["epoch"], one["steps"]) == (4, 4, 2, [5, 8])
    assert (one["num_digests"], one["num_equal_digests"], one["tensor"]) == (2, 1, "layer.weight")
    assert one["differences"][0]["hint"] == "run with `--threads 1`"


def test_lines_go_to_stderr_and_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Text of configs and logs cannot make a second line."""
    tell("experiment 0: two\nlines \x1b[31m")
    assert capsys.readouterr().err == "experiment 0: two\\nlines \\x1b[31m\n"
