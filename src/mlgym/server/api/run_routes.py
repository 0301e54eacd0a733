"""Routes that read runs: their list, one run, its timeline, its log lines, what it comes to."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Response

from mlgym.server.api.log_lines import LogQuery
from mlgym.server.api.long_logs import until_read
from mlgym.server.api.models.base import Order, RunStatus
from mlgym.server.api.models.log_lines import LogLines
from mlgym.server.api.models.runs import RunDetail, RunList
from mlgym.server.api.models.timeline import Timeline
from mlgym.server.api.parameters import ERRORS, At, Limit, Offset, RunId, refuse_unknown_parameters
from mlgym.server.api.reads import Reads
from mlgym.server.api.run_list import RunQuery

_TEXT: Final[dict[str, Any]] = {"schema": {"type": "string"}}
_REPORT: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/plain": _TEXT,
            "text/markdown": _TEXT,
            "text/csv": _TEXT,
            "text/html": _TEXT,
        },
        "description": "the report",
    }
}
Level = Literal["debug", "info", "warning", "error", "critical"]
RunSort = Annotated[
    str,
    Query(
        max_length=500,
        description=(
            "`created_at`, `last_event_at`, `name`, `run_id`, `status`, `duration_s`, `num_experiments`, `num_events`, "
            "or a metric, for its best value; runs without a value come last"
        ),
        examples=["created_at", "val/f1_macro"],
    ),
]


def run_routes(reads: Reads) -> APIRouter:
    """Gives the routes that read runs.

    Args:
        reads: the read side over a storage folder.
    """
    needed = [Depends(refuse_unknown_parameters), Depends(until_read(reads))]
    routes = APIRouter(dependencies=needed, responses=ERRORS, tags=["runs"])

    @routes.get("/runs", operation_id="listRuns", response_model=RunList)
    def list_runs(
        search: Annotated[
            str | None, Query(max_length=500, description="text within id, name, tags or notes", examples=["conv"])
        ] = None,
        status: Annotated[list[RunStatus], Query(description="any of these")] = [],  # noqa: B006 - FastAPI copies it
        only: Annotated[
            list[str],
            Query(alias="run", max_length=100, description="none but these, such as those that `runs_changed` names"),
        ] = [],  # noqa: B006 - as above
        tag: Annotated[list[str], Query(max_length=100, description="all of these", examples=[["baseline"]])] = [],  # noqa: B006 - as above
        sort: RunSort = "created_at",
        order: Order = "desc",
        limit: Limit = 100,
        offset: Offset = 0,
        trash: Annotated[bool, Query(description="the runs in the trash instead")] = False,
    ) -> Response:
        """The runs of the storage folder, the newest first."""
        query = RunQuery(
            search=search, status=status, tag=tag, sort=sort, order=order, limit=limit, offset=offset, run=only
        )
        return reads.runs(query, trash=trash)

    @routes.get("/runs/{run}", operation_id="getRun", response_model=RunDetail)
    def get_run(run: RunId, at: At = None) -> Response:
        """Everything about a run but its experiments, with what stands in its log."""
        return reads.run(run, at)

    @routes.get("/runs/{run}/timeline", operation_id="getTimeline", response_model=Timeline)
    def get_timeline(
        run: RunId, at: At = None, points: Annotated[int, Query(ge=2, le=100_000, description="at most so many")] = 1000
    ) -> Response:
        """Event numbers against wall time, with the starts and ends of experiments."""
        return reads.timeline(run, at, points)

    @routes.get("/runs/{run}/logs", operation_id="getLogs", response_model=LogLines)
    def get_logs(
        run: RunId,
        experiment: Annotated[
            int | None, Query(ge=-1, lt=10**9, description="of this one; -1 for the driver's; left out for all")
        ] = None,
        level: Annotated[Level | None, Query(description="of this level or above")] = None,
        contains: Annotated[str | None, Query(max_length=500, description="with this text, in any case")] = None,
        tail: Annotated[int, Query(ge=1, le=10_000, description="the last so many that match")] = 200,
        before: Annotated[int | None, Query(ge=0, lt=2**53, description="only events with a lower number")] = None,
        at: At = None,
    ) -> Response:
        """The last log lines that match, oldest first."""
        query = LogQuery(experiment=experiment, level=level, contains=contains, tail=tail, before=before)
        return reads.logs(run, query, at)

    @routes.get("/runs/{run}/report", operation_id="getReport", responses=_REPORT, response_class=Response)
    def get_report(
        run: RunId,
        format: Literal["json", "text", "markdown", "latex", "csv", "html"] = "json",
        metric: Annotated[
            str | None, Query(max_length=500, description="what ranks; left out for what the run selects by")
        ] = None,
        compare: Annotated[str | None, Query(max_length=500, description="a swept key whose values to compare")] = None,
        against: Annotated[
            str | None, Query(max_length=200, description="another run on the same folds or seeds")
        ] = None,
        at: At = None,
    ) -> Response:
        """What may be said about the results, as `mlgym report` says it; JSON as docs/reference/report.schema.json."""
        return reads.report(run, format=format, metric=metric, compare=compare, against=against, at=at)

    return routes
