"""Several devices in one experiment: the numbers are those of one, to the last bit.

Two and four processes of gloo run the scenarios of `ranks`; here the same experiments run in one process, with as many
accumulated batches as there are processes, each of the size of a share.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD, Adagrad, AdamW, Muon, Optimizer

from mlgym.components.optim.groups import Optimizers
from mlgym.components.optim.optimizers import optimizer_over
from mlgym.errors import TrainingError
from mlgym.training import World
from mlgym.training.parallelism import DataParallel, FullySharded
from tests.training.parallel.experiments import Answer, Sampling, alone, context, resumed, run, stopped, training
from tests.training.parallel.ranks import CLIPPED, FUSED, PLAINLY, RUNNING, _Forgetful, _Thawed

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[3]

Answers = list[dict[str, Any]]


def run_ranks(size: int, folder: Path) -> Answers:
    """Gives what each process answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-m", "tests.training.parallel.ranks", str(size), str(folder)],
        cwd=REPOSITORY,
        env=os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return [json.loads((folder / f"rank_{rank}.json").read_text()) for rank in range(size)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answers]:
    """What two processes answered, and where their experiments lie."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("two")
    stopped(folder / "begun_alone", World.single(), rank=0, step=8, epochs=3)
    return folder, run_ranks(2, folder)


@pytest.fixture(scope="module")
def two(pair: tuple[Path, Answers]) -> Answers:
    """What two processes answered."""
    return pair[1]


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What four processes answered."""
    torch.set_num_threads(1)
    return run_ranks(4, tmp_path_factory.mktemp("four"))


@pytest.fixture(params=[2, 4])
def group(request: pytest.FixtureRequest) -> Answers:
    """What two and what four processes answered."""
    answers: Answers = request.getfixturevalue("two" if request.param == 2 else "four")
    return answers


def accumulated(folder: Path, size: int, **changes: Any) -> Answer:
    """Gives what one process tells that accumulates the shares of `size` processes."""
    return alone(folder, batch_size=8 // size, gradient_accumulation_steps=size, **changes)


def test_bits_are_those_of_accumulated_batches(group: Answers, tmp_path: Path) -> None:
    """Weights, optimizers, losses, order, scores: DDP, FSDP2 and one process, after epochs and steps within them."""
    expected = accumulated(tmp_path, len(group), **PLAINLY)
    assert len(expected["weights"]) == 6
    for way in ("default", "ddp", "fsdp", "units"):
        assert group[0]["plainly"][way] == expected, way


def test_only_the_main_process_tells(group: Answers) -> None:
    """The others end without a result of their own."""
    assert [list(answers["plainly"]["ddp"]) for answers in group[1:]] == [["interrupted"]] * (len(group) - 1)


def test_control_sums_in_another_order_have_other_bits(four: Answers, tmp_path: Path) -> None:
    """What a collective of four sums has another order; of two numbers there is one sum only."""
    expected = accumulated(tmp_path, 4)
    for way in ("ddp", "fsdp"):
        assert four[0]["in_any_order"][way]["weights"] != expected["weights"], way


def test_control_a_mean_of_means_has_other_weights(group: Answers, tmp_path: Path) -> None:
    """In the last batch, of three samples, the first process has more of them than the others."""
    assert group[0]["mean_of_means"]["weights"] != accumulated(tmp_path, len(group))["weights"]


def test_a_model_that_draws_is_evaluated_as_in_one_process(group: Answers, tmp_path: Path) -> None:
    """What is drawn for a batch depends on the batch, and not on which were before it in the process."""
    settings: Any = {"model": Sampling, "epochs": 0, "rhythm": {"evaluate_before_training": True}}
    assert group[0]["sampling"] == alone(tmp_path, **settings)


def test_a_stop_reaches_all_at_one_step_and_resuming_keeps_the_bits(group: Answers) -> None:
    """One process is asked; all of them stop after the same step, and go on with their own generators."""
    for way in ("ddp", "units"):
        whole, first, again = group[0]["stopped"][way]
        assert len({answers["stopped"][way][1]["interrupted"] for answers in group}) == 1
        assert re.match("stopped in epoch 1 after step [789]$", first["interrupted"])
        assert first["weights"] + again["weights"] == whole["weights"]
        assert first["losses"] + again["losses"] == whole["losses"]
        assert first["scores"] + again["scores"] == whole["scores"]
        assert again["interrupted"] is None


def test_callbacks_of_all_processes_hear_the_same(group: Answers) -> None:
    """Steps, scores and checkpoints at the same steps; schedulers move once a step whatever the number of devices."""
    heard = group[0]["witnessed"]
    assert all(answers["witnessed"] == heard for answers in group[1:])
    assert "step 2 lr 0.009000" in heard
    assert "step 12 lr 0.003138" in heard
    assert "checkpoint epoch_1-step_8 at 8" in heard
    assert sum(line.startswith("scores") for line in heard) == 2


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precisions(two: Answers, tmp_path: Path, precision: str) -> None:
    """Autocast and scaled losses, with parameters whole and in shares."""
    expected = accumulated(tmp_path, 2, precision=precision)
    for way in ("ddp", "units"):
        assert two[0][f"in_{precision}"][way] == expected
    # A linear layer casts what it gets in any case: parameters that travel as bf16 change nothing here.
    assert two[0]["params_in_bf16"]["weights"] == accumulated(tmp_path / "again", 2, precision="bf16")["weights"]


def test_running_epochs(two: Answers, tmp_path: Path) -> None:
    """Epochs by steps go on within a pass over the data."""
    expected = accumulated(tmp_path, 2, **RUNNING)
    assert two[0]["running_epochs"] == {"ddp": expected, "units": expected}


def test_accumulating_in_several_processes(two: Answers) -> None:
    """Each process sums its own batches first, so the bits are not those of one; DDP and FSDP2 agree."""
    answers = two[0]["accumulated"]
    assert answers["ddp"] == answers["units"]
    assert answers["ddp"]["steps"] == [3, 6]


def test_clipping(two: Answers, tmp_path: Path) -> None:
    """The norm is that of all gradients; summed from shares it may differ in the last bits."""
    expected = accumulated(tmp_path, 2, **CLIPPED)
    assert two[0]["clipped"]["ddp"] == expected
    assert _scores(two[0]["clipped"]["units"]) == pytest.approx(_scores(expected), rel=1e-5)
    assert expected["weights"] != accumulated(tmp_path / "unclipped", 2)["weights"]


def test_fused_optimizers(two: Answers, tmp_path: Path) -> None:
    """PyTorch's fused kernels for CPUs round the last numbers of a tensor otherwise, and shares end elsewhere.

    With that known limit of FSDP2 on CPUs, DDP has the bits of one process.
    """
    expected = accumulated(tmp_path, 2, **FUSED)
    assert two[0]["fused"]["ddp"] == expected
    assert _scores(two[0]["fused"]["units"]) == pytest.approx(_scores(expected), rel=1e-5)


def test_other_draws_in_each_process(two: Answers) -> None:
    """Dropout and running statistics are the same with parameters whole and in shares."""
    assert two[0]["noisily"]["ddp"] == two[0]["noisily"]["units"]


def test_several_optimizers(two: Answers) -> None:
    """Turns whose steps call parts of the model: gradients are summed for each, and all processes stay alike."""
    assert two[0]["adversaries"]["ddp"] == two[0]["adversaries"]["units"]


def test_parameters_that_are_trained_later(two: Answers, tmp_path: Path) -> None:
    """What a callback thaws is shared from then on."""
    expected = accumulated(tmp_path, 2, rhythm={"callbacks": [_Thawed()]})
    assert two[0]["thawed"] == {"ddp": expected, "units": expected}


def test_unused_parameters(two: Answers, tmp_path: Path) -> None:
    """A layer that no step uses changes nothing where that is admitted."""
    assert two[0]["unused"] == accumulated(tmp_path, 2, model=_Forgetful)


def test_batches_of_a_torch_loader_are_cut(two: Answers) -> None:
    """Batches that come whole are read by all processes; epochs and steps are as with one."""
    assert two[0]["brought_along"]["steps"] == [5, 10]


def test_clocks_differ(two: Answers) -> None:
    """A checkpoint by time is taken by all after the step at which any of them finds that it is time."""
    answer = two[0]["unequal_wishes"]
    assert answer["steps"] == [6, 12]
    assert [1, ["within epoch"]] in answer["saved"]
    assert [7, ["within epoch"]] in answer["saved"]


def test_what_cannot_be_shared_is_refused(two: Answers) -> None:
    """Each error says what to do, and all processes end with it."""
    said = two[0]["refusals"]
    assert "take another optimizer" in said["lbfgs"]
    assert "2 devices cannot share batches of 1" in said["small batches"]
    assert "give the layer its number of inputs" in said["lazy"]
    assert "did you mean `Linear`?" in said["unit"]
    assert "find_unused_parameters: true" in said["unused"]
    assert "not all processes of the experiment see FOLDER" in said["apart"]
    assert "PyTorch's Rprop needs whole parameters" in said["whole"]
    assert two[1]["refusals"] == said


def test_another_number_of_devices_goes_on(pair: tuple[Path, Answers], tmp_path: Path) -> None:
    """One process's checkpoint in two, and the other way round: the same numbers but for rounding, which is said."""
    folder, answers = pair
    whole = alone(tmp_path, epochs=3)
    together = answers[0]["resharded"]
    apart = resumed(folder / "begun_together", World.single(), epochs=3)
    for answer, was in ((together, "1 device so far, and on 2"), (apart, "2 devices so far, and on 1")):
        assert answer["steps"] == [12, 18]
        expected = whole | {"scores": whole["scores"][1:]}
        assert _scores(answer) == pytest.approx(_scores(expected), rel=1e-4)
        # Each sample counts the same, whatever it was computed with.
        assert _scores(answer, "running_loss") == pytest.approx(_scores(expected, "running_loss"), rel=1e-4)
        assert any(was in warning for warning in answer["warnings"])


def test_a_group_of_one(tmp_path: Path) -> None:
    """`parallelism` on one device gives the bits of one device."""
    expected = alone(tmp_path / "alone")
    for way in (DataParallel(), FullySharded(units=[])):
        folder = tmp_path / type(way).__name__
        assert run(training(parallelism=way), context(folder, World.single())) == expected


def _in_groups(matrices: type[Optimizer], others: type[Optimizer]) -> Callable[[Any], Optimizer]:
    """Gives what makes one optimizer of two, as a config does it."""

    def make(parameters: Any) -> Optimizer:
        groups: dict[bool, list[Any]] = {True: [], False: []}
        for parameter in parameters:
            groups[parameter.ndim == 2].append(parameter)
        each = {kind: {"params": groups[kind is matrices]} for kind in (matrices, others)}
        return Optimizers([optimizer_over(kind, [group], lr=0.01) for kind, group in each.items()])

    return make


@pytest.mark.parametrize(
    ("make", "precision"),
    [
        (lambda parameters: optimizer_over(SGD, [{"params": list(parameters)}], lr=0.01), "fp32"),
        (lambda parameters: optimizer_over(SGD, [{"params": list(parameters)}], lr=0.01), "fp16"),
        (_in_groups(SGD, Adagrad), "fp32"),
    ],
)
def test_kernels_of_a_config_s_optimizer(make: Any, precision: str, tmp_path: Path) -> None:
    """A config fuses where it can; shares take other kernels where they must, and go on from either's checkpoint."""
    ways = {"alone": None, "cut": FullySharded(units=[])}
    given: dict[str, Any] = {"optimizer": make, "precision": precision}
    expected = _scores(alone(tmp_path / "whole", **given))
    for way, other in (("alone", "cut"), ("cut", "alone")):
        folder = tmp_path / way
        stopped(folder, World.single(), rank=0, step=8, parallelism=ways[way], **given)
        answer = resumed(folder, World.single(), parallelism=ways[other], **given)
        assert _scores(answer) == pytest.approx(expected[-len(_scores(answer)) :], rel=1e-3)


def test_an_optimizer_among_several_that_needs_whole_parameters_is_refused(tmp_path: Path) -> None:
    """PyTorch's Muon does not fail where matrices are cut, and gives other numbers."""
    experiment = training(parallelism=FullySharded(units=[]), optimizer=_in_groups(Muon, AdamW))
    with pytest.raises(TrainingError, match="Muon needs whole parameters"):
        run(experiment, context(tmp_path, World.single()))


def _scores(answer: Answer, *names: str) -> list[float]:
    """Gives the numbers of all evaluations that have one of these names, those of both losses where none is given."""
    return [
        float(number)
        for evaluation in answer["scores"]
        for _, name, number in evaluation
        if name in (names or ("cross_entropy", "plain"))
    ]
