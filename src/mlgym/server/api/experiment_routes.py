"""Routes that read experiments: their table, one of them, its card, curves, differences of configs, exports."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Response

from mlgym.server.api.long_logs import until_read
from mlgym.server.api.models.base import Order
from mlgym.server.api.models.curves import MetricColumns, MetricQuery, SystemMetricColumns
from mlgym.server.api.models.experiments import ConfigDiff, ExperimentDetail, ExperimentTable
from mlgym.server.api.models.model_card import ModelCard
from mlgym.server.api.parameters import (
    ERRORS,
    At,
    ExperimentId,
    Filter,
    Limit,
    Offset,
    RunId,
    refuse_unknown_parameters,
)
from mlgym.server.api.reads import COLUMNS, Reads

_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_CURVES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": MetricColumns,
        "content": {COLUMNS: _BINARY},
        "description": "columns as JSON, or binary as docs/reference/columns.md says",
    }
}
_CARD: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": ModelCard, "content": {"text/markdown": {"schema": {"type": "string"}}}}
}
_EXPORT: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"text/csv": {"schema": {"type": "string"}}, "application/vnd.apache.parquet": _BINARY},
        "description": "a file to save",
    }
}
_Reference = Annotated[
    str,
    Query(
        max_length=300,
        description="an experiment of this run by its number, of another by `RUN/NUMBER`",
        examples=["3", "2026-11-23--16-14-30/3"],
    ),
]


def experiment_routes(reads: Reads) -> APIRouter:
    """Gives the routes that read experiments.

    Args:
        reads: the read side over a storage folder.
    """
    needed = [Depends(refuse_unknown_parameters), Depends(until_read(reads))]
    routes = APIRouter(dependencies=needed, responses=ERRORS, tags=["experiments"])

    @routes.get("/runs/{run}/experiments", operation_id="listExperiments", response_model=ExperimentTable)
    def list_experiments(
        run: RunId,
        at: At = None,
        where: Filter = None,
        sort: Annotated[
            str,
            Query(
                max_length=500,
                description="a column; a metric by its best value, `latest(METRIC)` by its latest; without value: last",
                examples=["experiment_id", "optimizer.lr", "val/f1_macro", "latest(val/loss)"],
            ),
        ] = "experiment_id",
        order: Order = "asc",
        limit: Limit = 1000,
        offset: Offset = 0,
        columns: Annotated[
            list[str] | None, Query(max_length=1000, description="the metrics that rows have; left out for all")
        ] = None,
    ) -> Response:
        """The experiments of a run as a table: status, swept parameters, latest and best value of each metric."""
        return reads.experiments(
            run, at=at, text=where, sort=sort, order=order, limit=limit, offset=offset, metrics=columns
        )

    @routes.get("/runs/{run}/experiments/{experiment}", operation_id="getExperiment", response_model=ExperimentDetail)
    def get_experiment(run: RunId, experiment: ExperimentId, at: At = None) -> Response:
        """Everything about an experiment but the points of its metrics and its log lines."""
        return reads.experiment(run, experiment, at)

    @routes.get(
        "/runs/{run}/experiments/{experiment}/system-metrics",
        operation_id="getSystemMetrics",
        response_model=SystemMetricColumns,
    )
    def get_system_metrics(
        run: RunId,
        experiment: ExperimentId,
        at: At = None,
        points: Annotated[int, Query(ge=8, le=10_000, description="at most so many of each column")] = 1000,
    ) -> Response:
        """What the process of an experiment used over time: processor, memory, GPU, rate."""
        return reads.system_metrics(run, experiment, at, points)

    @routes.get(
        "/runs/{run}/experiments/{experiment}/model-card",
        operation_id="getModelCard",
        response_model=ModelCard,
        responses=_CARD,
    )
    def get_model_card(
        run: RunId, experiment: ExperimentId, format: Literal["json", "markdown"] = "json", at: At = None
    ) -> Response:
        """What somebody who gets the model should know, as data or in the form of the Hugging Face hub."""
        return reads.model_card(run, experiment, format=format, at=at)

    @routes.post("/runs/{run}/metrics", operation_id="queryMetrics", response_model=MetricColumns, responses=_CURVES)
    def query_metrics(run: RunId, query: MetricQuery) -> Response:
        """Curves of many experiments at once, thinned; changes nothing, the query is only long."""
        return reads.metrics(run, query)

    @routes.get("/runs/{run}/metrics", operation_id="getMetrics", response_model=MetricColumns, responses=_CURVES)
    def get_metrics(run: RunId, query: Annotated[MetricQuery, Query()]) -> Response:
        """The same for queries that fit an address."""
        return reads.metrics(run, query)

    @routes.get("/runs/{run}/diff", operation_id="getDiff", response_model=ConfigDiff)
    def get_diff(run: RunId, a: _Reference, b: _Reference, at: At = None) -> Response:
        """The keys in which the configs of two experiments differ."""
        return reads.diff(run, a, b, at)

    @routes.get("/runs/{run}/export", operation_id="export", responses=_EXPORT, response_class=Response)
    def export(
        run: RunId,
        format: Literal["csv", "parquet"] = "csv",
        what: Annotated[
            Literal["experiments", "metrics"], Query(description="a row for each experiment, or for each measurement")
        ] = "experiments",
        where: Filter = None,
        at: At = None,
    ) -> Response:
        """A table as a file; in CSV, text that a spreadsheet would take for a formula begins with `'`."""
        return reads.export(run, format=format, what=what, text=where, at=at)

    return routes
