"""Evaluation: exact losses and metrics of a model on every split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mlgym.components.data.adapted_loader import as_loader
from mlgym.components.data.loader import Loader
from mlgym.components.loss.base import AnyLoss, Loss, Term, as_loss
from mlgym.components.metric.base import AnyMetric, NamedMetric, as_metric
from mlgym.components.step import predict
from mlgym.components.tensors import TARGET, Step, StepOutput, Tensors, batch_size, named
from mlgym.config.given import Given
from mlgym.config.registry import register
from mlgym.errors import TrainingError
from mlgym.names import did_you_mean
from mlgym.training.batch_order import NOTHING, BatchOrder, Measured
from mlgym.training.determinism import BatchDraws
from mlgym.training.device import Device
from mlgym.training.known_scores import LOSS, scores_of_evaluator
from mlgym.training.parallel import Parallel
from mlgym.training.world import World

PostProcessor: TypeAlias = Callable[[Tensors], Tensors]
SplitProgress: TypeAlias = Callable[[str, int, int], None]
"""Told (split, batches done, batches in all)."""


@dataclass(slots=True)
class SplitScores:
    """What was measured on one split: losses and metrics by name, and tables (rows, columns)."""

    losses: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tables: dict[str, list[list[float]]] = field(default_factory=dict)


@register("evaluator")
class Evaluator:
    """Measures losses and metrics on the splits of some loaders."""

    def __init__(
        self,
        model: nn.Module,
        loss: AnyLoss | Sequence[AnyLoss] | None = None,
        *,
        loaders: Mapping[str, Loader | DataLoader[Any]],
        metrics: Sequence[AnyMetric] = (),
        post_processors: Sequence[PostProcessor] = (),
        step: Step | None = None,
        splits: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        """Puts together what evaluation needs.

        Args:
            model: the model to evaluate.
            loss: one loss, shown as `SPLIT/loss`, or several, each under its own name.
            loaders: the batches of each split.
            metrics: MLgym's or torchmetrics' metrics, over whole splits.
            post_processors: applied in order to the predictions before the metrics (not the losses) see them.
            step: from (model, batch) to a loss and named outputs, where models are not called as `model(inputs)`;
                its own loss is shown as `SPLIT/loss` where `loss` is left out.
            splits: which splits to evaluate; None for all of `loaders`.
            seed: of augmentation, >= 0, where a loader is a plain torch `DataLoader`; others have their own.

        Raises:
            TrainingError: an unknown split, or two measures of one name.
        """
        self.model = model
        self.losses = _named_losses(loss)
        self.metrics: list[NamedMetric] = [as_metric(metric) for metric in metrics]
        self.post_processors = tuple(post_processors)
        self.step = step
        self.loaders = _chosen(loaders, splits, seed)
        if not self.losses and step is None and not self.metrics:
            raise TrainingError("the evaluator needs a `loss`, a `step` or `metrics`")
        _refuse_twins([*self.losses, *(metric.name for metric in self.metrics)])

    @property
    def names(self) -> list[str]:
        """Every measure as `split/name` known before evaluating; metrics per class add their class behind a slash."""
        measures = [*(self.losses or ([LOSS] if self.step else [])), *(metric.name for metric in self.metrics)]
        return [f"{split}/{measure}" for split in self.loaders for measure in measures]

    @classmethod
    def scores_of(cls, given: Given) -> set[str]:
        """Gives what `names` will be; see `mlgym.config.scores`."""
        return scores_of_evaluator(given)

    def evaluate(
        self, device: Device, progress: SplitProgress, parallel: Parallel | None = None
    ) -> dict[str, SplitScores]:
        """Measures every split with the model as it is now; the model's training mode is as before afterwards.

        What is drawn on the way is a function of the state of the global generators and of the number of the batch.

        Args:
            device: where it is measured.
            progress: told how far it is.
            parallel: what several devices do together; None for one. The scores are those of one, to the last bit, and
                the main process has them; the others have none.
        """
        parallel = parallel or Parallel(World.single())
        was_training = self.model.training
        self.model.eval()
        parallel.begin_evaluation(self.model)
        try:
            with parallel.without_gradients():
                seed = torch.initial_seed()
                scores = {
                    split: self._evaluate_split(split, device, progress, parallel, BatchDraws(seed, split))
                    for split in self.loaders
                }
        finally:
            self.model.train(was_training)
        parallel.end_evaluation()
        return scores if parallel.world.is_main else {}

    def _evaluate_split(
        self, split: str, device: Device, progress: SplitProgress, parallel: Parallel, draws: BatchDraws
    ) -> SplitScores:
        # What training draws twice or leaves out is no matter of evaluation.
        loader, move, world = self.loaders[split].each_once(), device.mover(), parallel.world
        num_batches = len(loader)
        report_every = -(-num_batches // 10 // world.size) or 1  # rounded up: about ten times
        order, sums = BatchOrder(loader, world, device), _Sums(self.metrics, device)
        for place, batch in enumerate(order.loader.epoch(0)):
            if order.is_own(place) or parallel.all_must_run:
                draws.begin(order.number(place))
                with device.autocast():
                    measured = parallel.inside(self._measure, batch if move is None else move(batch))
                draws.end()
            else:
                measured = NOTHING
            for each in order.add(measured):
                sums.add(each)
            if (place + 1) % report_every == 0:
                progress(split, min(num_batches, (place + 1) * world.size), num_batches)
        for each in order.rest():
            sums.add(each)
        return sums.scores() if world.is_main else SplitScores()

    def _measure(self, batch: Any) -> Measured:
        if self.step is not None:
            output = self.step(self.model, batch)
            own = {} if self.losses else {LOSS: [Term(output.loss)]}
        else:
            inputs, targets = batch
            output = StepOutput(_NO_LOSS, predict(self.model, inputs), named(targets, TARGET))
            own = {}
        losses = {name: loss.terms(output.predictions, output.targets) for name, loss in self.losses.items()}
        if not self.metrics:
            return Measured(own | losses, batch_size(batch), {}, {})
        predictions = output.predictions
        for process in self.post_processors:
            predictions = process(predictions)
        return Measured(own | losses, batch_size(batch), predictions, output.targets)


class _Sums:
    """What adds up over the batches of a split, in their order."""

    def __init__(self, metrics: Sequence[NamedMetric], device: Device) -> None:
        self._means: dict[str, _Mean] = {}
        self._metrics = metrics
        for metric in metrics:
            metric.to(device.torch_device)
            metric.reset()

    def add(self, measured: Measured) -> None:
        """Takes a batch."""
        for name, terms in measured.losses.items():
            self._means.setdefault(name, _Mean()).add(terms, measured.num_samples)
        for metric in self._metrics:
            metric.update(measured.predictions, measured.targets)

    def scores(self) -> SplitScores:
        """Gives what all batches come to."""
        scores = SplitScores(losses={name: mean.value() for name, mean in self._means.items()})
        for metric in self._metrics:
            value = metric.compute()
            if isinstance(value, dict):
                scores.metrics.update(value)
            elif isinstance(value, list):
                scores.tables[metric.name] = value
            else:
                scores.metrics[metric.name] = value
        return scores


_NO_LOSS = torch.zeros(())


class _Mean:
    """A loss over many batches: the sum of the means of its terms, each read from the device once at the end."""

    def __init__(self) -> None:
        self._totals: list[Tensor] = []  # of each term, () float64
        self._weights: list[Tensor | int] = []

    def add(self, terms: Sequence[Term], num_samples: int) -> None:
        """Takes the terms of one batch."""
        if not self._totals:
            self._totals = [torch.zeros_like(term.value, dtype=torch.float64) for term in terms]
            self._weights = [0] * len(terms)
        for index, (value, weight) in enumerate(terms):
            share = value.double() * (num_samples if weight is None else weight)
            if weight is not None:  # the mean over nothing is NaN
                share = torch.where(weight > 0, share, 0.0)
            self._totals[index] = self._totals[index] + share
            self._weights[index] = self._weights[index] + (num_samples if weight is None else weight)

    def value(self) -> float:
        """Gives the loss; NaN where nothing counted."""
        return sum(float(total / weight) for total, weight in zip(self._totals, self._weights, strict=True))


def _named_losses(loss: AnyLoss | Sequence[AnyLoss] | None) -> dict[str, Loss]:
    if loss is None:
        return {}
    if not isinstance(loss, Sequence):
        return {LOSS: as_loss(loss)}
    losses = [as_loss(one) for one in loss]
    _refuse_twins([one.name for one in losses])
    return {one.name: one for one in losses}


def _chosen(
    loaders: Mapping[str, Loader | DataLoader[Any]], splits: Sequence[str] | None, seed: int
) -> dict[str, Loader]:
    chosen = list(loaders) if splits is None else list(splits)
    for split in chosen:
        if split not in loaders:
            raise TrainingError(f"there is no loader for the split `{split}`{did_you_mean(split, loaders)}")
    return {split: as_loader(loaders[split], seed) for split in chosen}


def _refuse_twins(names: Sequence[str]) -> None:
    twins = sorted({name for name in names if list(names).count(name) > 1})
    if twins:
        raise TrainingError(f"two measures are called `{twins[0]}`; give one of them a `name`")
