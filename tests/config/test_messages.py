"""The errors that the design shows, word for word, and the complete config that it shows."""

from __future__ import annotations

from .conftest import Checker, Faults

GOOD = """\
# a comment
version: 1
name: mnist-conv-net
seed: 2

components:
  data: {use: mnist, root: ./data}
  split:
    use: stratified_split
    dataset: $data.train
    fractions: {train: 0.7, val: 0.3}
  loaders:
    use: data_loaders
    datasets: {train: $split.train, val: $split.val, test: $data.test}
    batch_size: {sweep: [10, 50, 100]}
  model:
    use: conv_net
    layers:
      - {use: conv, out: 32}
      - {use: linear, out: 10}
  optimizer:
    use: adam
    model: $model
    lr: {sweep: [1, 0.1, 0.01, 1e-3, 1e-4]}
  loss: {use: cross_entropy}
  trainer: {use: trainer, model: $model, optimizer: $optimizer, loss: $loss, loader: $loaders.train}
  evaluator:
    use: evaluator
    model: $model
    loss: $loss
    loaders: $loaders
    metrics: [{use: f1, average: macro}, {use: precision, average: macro}]

experiment:
  use: training
  trainer: $trainer
  evaluator: $evaluator
  epochs: 100
  early_stopping: {use: patience, metric: val/f1_macro, epochs: 5}

validation: {mode: grid_search}
"""
KNOWN = "(known: data, split, loaders, model, optimizer, loss, trainer, evaluator)"


def test_the_config_of_the_design_is_right(space: Checker) -> None:
    """The complete file has 15 experiments, batch size varying slower than learning rate."""
    grid = space(GOOD)
    assert len(grid) == 15
    assert grid.notes == []
    assert grid[1].swept == {"loaders.batch_size": 10, "optimizer.lr": 0.1}
    assert grid[14].swept == {"loaders.batch_size": 100, "optimizer.lr": 1e-4}


def test_unknown_parameter(faults: Faults) -> None:
    """A misspelled parameter names the nearest one and all that there are."""
    assert faults(GOOD.replace("batch_size: {", "batch_sise: {")) == [
        (
            "mnist.yml:15:5: components.loaders.batch_sise: `data_loaders` has no parameter `batch_sise`; did you mean "
            "`batch_size`? (it has datasets, batch_size, shuffle, seed)"
        )
    ]


def test_value_out_of_range_in_one_alternative(faults: Faults) -> None:
    """A wrong value in a sweep is found at its own index and column."""
    assert faults(GOOD.replace("[1, 0.1,", "[1, -0.1,")) == [
        "mnist.yml:24:21: components.optimizer.lr.sweep[1]: input should be greater than 0, got -0.1"
    ]


def test_unknown_component(faults: Faults) -> None:
    """A reference to nothing names the nearest component."""
    assert faults(GOOD.replace("optimizer: $optimizer", "optimizer: $optimiser")) == [
        "mnist.yml:26:42: components.trainer.optimizer: no component named `optimiser`; did you mean `optimizer`? "
        + KNOWN
    ]


def test_wrong_kind(faults: Faults) -> None:
    """A loss where an optimizer is needed is named by its class."""
    assert faults(GOOD.replace("optimizer: $optimizer", "optimizer: $loss     ")) == [
        "mnist.yml:26:42: components.trainer.optimizer: needs Optimizer, but $loss is CrossEntropy"
    ]


def test_unknown_output(faults: Faults) -> None:
    """A misspelled output names the nearest one and all that there are."""
    assert faults(GOOD.replace("$data.test", "$data.tset")) == [
        (
            "mnist.yml:14:54: components.loaders.datasets.test: `data` has no output `tset`; did you mean `test`? "
            "(it has train, test)"
        )
    ]


def test_circle(faults: Faults) -> None:
    """Components that need each other are shown as a ring with places."""
    circle = GOOD.replace("dataset: $data.train", "dataset: $loaders.train")
    assert (
        "mnist.yml:10:5: components.split.dataset: components need each other in a circle: "
        "split (mnist.yml:10:5) -> loaders (mnist.yml:14:16) -> split"
    ) in faults(circle)


def test_unregistered_component(faults: Faults) -> None:
    """A misspelled `use` names the nearest component."""
    assert faults(GOOD.replace("use: adam", "use: adan")) == [
        "mnist.yml:22:5: components.optimizer.use: no component is registered as `adan`; did you mean `adam`?"
    ]


def test_command_line(faults: Faults) -> None:
    """A fault of an override is placed on the command line."""
    assert faults(GOOD, ["optimizer.lrr=0.1"]) == [
        "command line `optimizer.lrr=0.1`: components.optimizer.lrr: `adam` has no parameter `lrr`; did you mean `lr`?"
    ]


def test_all_at_once_in_reading_order(faults: Faults) -> None:
    """Every fault of a file is reported, sorted by line, the command line last."""
    broken = (
        GOOD.replace("batch_size: {", "batch_sise: {")
        .replace("[1, 0.1,", "[1, -0.1,")
        .replace("optimizer: $optimizer", "optimizer: $optimiser")
        .replace("$data.test", "$data.tset")
        .replace("dataset: $data.train", "dataset: $loaders.train")
        .replace("mode: grid_search", "mode: grid_serach")
        .replace("seed: 2", "sead: 2")
    )
    found = faults(broken, ["experiment.epochs=0"])
    lines = [int(fault.split(":")[1]) for fault in found[:-1]]
    assert lines == sorted(lines)
    assert {4, 10, 14, 15, 24, 26, 41} <= set(lines)
    assert found[-1] == (
        "command line `experiment.epochs=0`: experiment.epochs: input should be greater than or equal to 1, got 0"
    )
