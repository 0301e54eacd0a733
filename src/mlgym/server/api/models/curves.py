"""Which curves are asked for, and answers with them: metrics, and what the processes used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from mlgym.server.api.models.base import RUN_ID, Model, NonFinite


class MetricQuery(Model):
    """Which curves, and how finely."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"keys": ["val/f1_macro", "val/loss"], "experiments": [3, 7], "points": 500}],
        },
    )

    keys: list[Annotated[str, Field(max_length=500)]] = Field(
        default=[],
        max_length=1000,
        description="metrics; empty for all, or for those that `match` finds; one that no experiment has is an error",
    )
    match: str | None = Field(default=None, max_length=500, description="a regular expression over metrics")
    experiments: list[Annotated[int, Field(ge=0)]] | None = Field(
        default=None, max_length=100_000, description="null for all"
    )
    points: int = Field(default=1000, ge=8, le=1_000_000, description="at most so many of each curve")
    method: Literal["minmax", "lttb"] = Field(
        default="minmax", description="how curves are thinned; both keep first, last, smallest and largest point"
    )
    format: Literal["json", "binary"] = "json"
    at: int | None = Field(default=None, ge=0, description="as of so many events; null for now")


class Series(Model):
    """A metric of one experiment, as columns of equal length in the order of training."""

    experiment_id: int
    key: str
    num_points: int = Field(description="before thinning")
    epochs: list[int]
    steps: list[int] = Field(description="-1 where unknown")
    times: list[float] = Field(description="when each was measured")
    values: list[float | None] = Field(description="null where not finite; see `non_finite`")
    non_finite: dict[NonFinite, list[int]] = Field(
        default={}, description="positions in `values`, by what stands there"
    )


class MetricColumns(Model):
    """Curves of many experiments at once."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "run_id": RUN_ID,
                    "at": 2310,
                    "series": [
                        {
                            "experiment_id": 7,
                            "key": "val/loss",
                            "num_points": 3,
                            "epochs": [1, 2, 3],
                            "steps": [240, 480, 720],
                            "times": [1795450851.0, 1795450862.1, 1795450873.0],
                            "values": [0.31, None, 0.12],
                            "non_finite": {"nan": [1]},
                        }
                    ],
                }
            ]
        },
    )

    run_id: str
    at: int
    series: list[Series]


class SystemSeries(Model):
    """One thing that a process used over time, as columns of equal length."""

    key: Literal["steps_per_s", "cpu_percent", "rss_bytes", "gpu_percent", "gpu_memory_bytes"]
    unit: Literal["steps/s", "percent", "bytes"]
    num_points: int = Field(description="before thinning")
    times: list[float]
    values: list[float]


class SystemMetricColumns(Model):
    """What the process of an experiment used, all its attempts; what nobody told is left out."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "at": 2310,
                    "experiment_id": 7,
                    "series": [
                        {
                            "key": "cpu_percent",
                            "unit": "percent",
                            "num_points": 2,
                            "times": [1795450851.0, 1795450856.0],
                            "values": [98.2, 99.7],
                        }
                    ],
                }
            ]
        },
    )

    at: int
    experiment_id: int
    series: list[SystemSeries]
