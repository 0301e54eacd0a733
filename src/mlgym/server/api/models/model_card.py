"""The answer with what is known of a trained model."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mlgym.server.api.models.base import Direction, ExperimentStatusName, MetricValue, Model
from mlgym.server.api.models.experiments import CheckpointFacts, ReproductionFacts


class CardModel(Model):
    """The model of a model card."""

    name: str | None = Field(description="name of the component", examples=["conv_net"])
    config: Any
    num_parameters: int | None
    num_trainable_parameters: int | None
    num_bytes: int | None = Field(description="of the parameters and buffers in memory")


class CardSplit(Model):
    """A split of the data."""

    name: str = Field(examples=["train"])
    num_samples: int | None
    classes: dict[str, int] | None = Field(description="samples of each class; null where there are no classes")
    sha256: str | None = Field(description="fingerprint of the samples in their order")


class CardMetric(Model):
    """A metric with the split it was computed on."""

    split: str
    metric: str
    direction: Direction
    latest: MetricValue
    best: MetricValue | None


class CardData(Model):
    """The data of a model card."""

    name: str | None
    config: Any
    splits: list[CardSplit]


class CardTraining(Model):
    """How it was trained."""

    status: ExperimentStatusName
    num_epochs: int | None = Field(description="finished epochs")
    num_steps: int | None
    seed: Any
    swept: dict[str, Any]
    trial: dict[str, Any] = Field(description="its place in the validation, such as its fold")
    optimizer: Any
    loss: Any
    lr_scheduler: Any
    batch_size: Any
    started_at: float | None = Field(description="of the first attempt")
    finished_at: float | None = Field(description="of the last attempt")
    duration_s: float | None = Field(description="of all attempts together, without the time between them")
    device: str | None
    stop_reason: str | None


class CardEnergy(Model):
    """What `codecarbon` measured."""

    energy_kwh: float | None
    emissions_kg: float | None = Field(description="CO2 equivalent")
    duration_s: float | None
    country: str | None
    source: str = Field(examples=["codecarbon 3.0.1"])


class ModelCard(Model):
    """What somebody who gets the model should know; every value was recorded, none is estimated here."""

    run_id: str
    experiment_id: int
    at: int
    run_name: str | None
    model: CardModel
    data: CardData
    training: CardTraining
    metrics: list[CardMetric]
    environment: dict[str, Any] = Field(description="of the machine that trained")
    energy: CardEnergy | None = Field(description="null where nobody measured it")
    checkpoints: list[CheckpointFacts]
    command: list[str]
    versions: dict[str, str]
    reproduction: ReproductionFacts | None
    config_sha256: str | None
    config: dict[str, Any]
