"""Five families of small models, each with everything that must survive a kill: the experiments of the matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from mlgym import register
from mlgym.components.data import TensorData
from mlgym.training import State

NUM_CLASSES: Final = 3
_VOCABULARY: Final = 11


@register("kill_matrix_data")
def kill_matrix_data(kind: Literal["numbers", "images", "tokens"], num_samples: int = 24, start: int = 0) -> TensorData:
    """Gives few samples in three classes: numbers (samples, 8), images (samples, 1, 6, 6) or tokens (samples, 6)."""
    generator = torch.Generator().manual_seed(start)
    targets = torch.arange(num_samples) % NUM_CLASSES
    if kind == "tokens":
        return TensorData(torch.randint(1, _VOCABULARY, (num_samples, 6), generator=generator), targets)
    shape = (8,) if kind == "numbers" else (1, 6, 6)
    noise = torch.randn(num_samples, *shape, generator=generator)
    return TensorData(noise + targets.view(-1, *(1 for _ in shape)), targets)


@register("kill_matrix_shake")
class Shake:
    """Random augmentation: noise on numbers, tokens left out."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """Gives one sample, changed at random."""
        if inputs.is_floating_point():
            return inputs + 0.1 * torch.randn(inputs.shape)
        return torch.where(torch.rand(inputs.shape) < 0.2, torch.zeros_like(inputs), inputs)


@register("kill_matrix_embedding")
class EmbeddingNet(nn.Module):
    """The mean of embeddings, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, 8)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, NUM_CLASSES))

    def forward(self, tokens: Tensor) -> Tensor:
        """Gives logits (batch, classes) for tokens (batch, places)."""
        logits: Tensor = self.head(self.embedding(tokens).mean(1))
        return logits


@register("kill_matrix_gru")
class GRUNet(nn.Module):
    """A recurrent network over tokens, with dropout between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, 6)
        self.gru = nn.GRU(6, 8, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, NUM_CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        """Gives logits (batch, classes) for tokens (batch, places)."""
        outputs, _ = self.gru(self.embedding(tokens))
        logits: Tensor = self.head(outputs[:, -1])
        return logits


@register("kill_matrix_transformer")
class TransformerNet(nn.Module):
    """One layer of attention over tokens, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, 8)
        self.places = nn.Parameter(torch.zeros(6, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, NUM_CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        """Gives logits (batch, classes) for tokens (batch, places)."""
        logits: Tensor = self.head(self.layer(self.embedding(tokens) + self.places).mean(1))
        return logits


@register("kill_matrix_shaker")
class Shaker:
    """A callback with state that draws whenever a checkpoint stands, and puts what it drew into the weights."""

    def __init__(self) -> None:
        self.num_checkpoints = 0

    def on_checkpoint(self, state: State, path: Path) -> None:
        """Moves the weights at random, more with each checkpoint."""
        self.num_checkpoints += 1
        with torch.no_grad():
            parameter = next(state.model.parameters())
            parameter.add_(0.001 * self.num_checkpoints * torch.randn(parameter.shape))

    def state_dict(self) -> dict[str, Any]:
        """Gives the count."""
        return {"num_checkpoints": self.num_checkpoints}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a count."""
        self.num_checkpoints = state["num_checkpoints"]


_CONV_NET: Final = {
    "use": "conv_net",
    "in_shape": [1, 6, 6],
    "layers": [{"use": "conv", "out": 4, "batch_norm": True, "dropout": 0.1}, {"use": "linear", "out": NUM_CLASSES}],
}
_FAMILIES: Final[dict[str, dict[str, Any]]] = {
    "mlp": {
        "kind": "numbers",
        "model": {"use": "mlp", "hidden": [8], "num_inputs": 8, "num_outputs": NUM_CLASSES, "dropout": 0.3},
        "optimizer": {"use": "adam", "model": "$model", "lr": 0.02},
        "lr_scheduler": {"use": "one_cycle_lr", "max_lr": 0.05, "total_steps": 6},
    },
    "conv_net": {
        "kind": "images",
        "model": _CONV_NET,
        "optimizer": {"use": "sgd", "model": "$model", "lr": 0.05, "momentum": 0.9},
        "lr_scheduler": {"use": "exponential_lr", "gamma": 0.9},
    },
    "embedding": {
        "kind": "tokens",
        "model": {"use": "kill_matrix_embedding"},
        "optimizer": {"use": "adamw", "model": "$model", "lr": 0.05},
        "lr_scheduler": {"use": "cosine_annealing_lr", "T_max": 6},
    },
    "gru": {
        "kind": "tokens",
        "model": {"use": "kill_matrix_gru"},
        "optimizer": {"use": "nadam", "model": "$model", "lr": 0.02},
        "lr_scheduler": {"use": "step_lr", "step_size": 2},
    },
    "transformer": {
        "kind": "tokens",
        "model": {"use": "kill_matrix_transformer"},
        "optimizer": {"use": "adamw", "model": "$model", "lr": 0.02},
        "lr_scheduler": {"use": "multi_step_lr", "milestones": [2, 4], "gamma": 0.5},
    },
}
FAMILIES: Final = tuple(_FAMILIES)


def config_of(family: str, *, num_workers: int = 0, synchronous: bool = False, seed: Any = 5) -> dict[str, Any]:
    """Gives the config of a family: two epochs of three updates of two batches each, a checkpoint every two updates.

    Args:
        family: one of `FAMILIES`.
        num_workers: processes that read the training data.
        synchronous: whether a callback waits for each checkpoint; else it is written while training goes on.
        seed: the run's.
    """
    given = _FAMILIES[family]
    data = {"use": "kill_matrix_data", "kind": given["kind"]}
    return {
        "seed": seed,
        "imports": [__name__],
        "components": {
            "train": {"use": "augment", "dataset": data, "transform": {"use": "kill_matrix_shake"}},
            "val": data | {"num_samples": 9, "start": 1},
            "loaders": {
                "use": "data_loaders",
                "datasets": {"train": "$train", "val": "$val"},
                "batch_size": 4,
                "num_workers": num_workers,
            },
            "model": given["model"],
            "optimizer": given["optimizer"],
            "lr_scheduler": given["lr_scheduler"] | {"optimizer": "$optimizer"},
            "loss": {"use": "cross_entropy"},
            "trainer": {
                "use": "trainer",
                "model": "$model",
                "optimizer": "$optimizer",
                "loss": "$loss",
                "loader": "$loaders.train",
                "lr_scheduler": "$lr_scheduler",
                "lr_scheduler_interval": "step",
                "gradient_accumulation_steps": 2,
            },
            "evaluator": {"use": "evaluator", "model": "$model", "loss": "$loss", "loaders": {"val": "$loaders.val"}},
        },
        "experiment": {
            "use": "training",
            "trainer": "$trainer",
            "evaluator": "$evaluator",
            "epochs": 2,
            "checkpoint_every_n_steps": 2,
            "callbacks": [{"use": "kill_matrix_shaker"}] if synchronous else [],
        },
    }
