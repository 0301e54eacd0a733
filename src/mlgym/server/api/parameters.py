"""The parameters that routes of the read side share, each with its meaning and its limits."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from fastapi import Path, Query, Request
from pydantic import BaseModel

from mlgym.names import did_you_mean
from mlgym.server.api.models.base import ErrorAnswer
from mlgym.server.refusal import RefusedError
from mlgym.texts import printable

MAX_ROWS: Final = 10_000
_MAX_SHOWN: Final = 100
_RUN_ID: Final = "2026-11-23--16-14-30"

RunId: TypeAlias = Annotated[str, Path(description="id of the run", examples=[_RUN_ID])]
ExperimentId: TypeAlias = Annotated[
    int, Path(ge=0, lt=10**9, description="number of the experiment in the run", examples=[7])
]
At: TypeAlias = Annotated[
    int | None,
    Query(
        ge=0,
        lt=2**53,
        description="time travel: the state after so many events, as `timeline` counts them; left out for now",
        examples=[1284],
    ),
]
Filter: TypeAlias = Annotated[
    str | None,
    Query(
        alias="filter",
        max_length=2000,
        description=(
            "which experiments, such as `status:failed or lr<0.01 and val/f1_macro>0.9`; see docs/reference/filter.md"
        ),
        examples=["status:failed or lr<0.01 and val/f1_macro>0.9"],
    ),
]
Limit: TypeAlias = Annotated[int, Query(ge=0, le=MAX_ROWS, description="at most so many rows")]
Offset: TypeAlias = Annotated[int, Query(ge=0, lt=2**53, description="rows to leave out at the start")]


async def refuse_unknown_parameters(request: Request) -> None:
    """Refuses a parameter that a route does not have: one that is mistyped would change nothing, and nobody would see.

    Raises:
        RefusedError: there is one; of a body or a model of parameters their own checks tell.
    """
    fields = request.scope["route"].dependant.query_params
    known = [field.alias for field in fields]
    unknown = [name for name in request.query_params if name not in known]
    if unknown and not any(_is_model(field.field_info.annotation) for field in fields):
        name = printable(unknown[0][:_MAX_SHOWN])
        message = f"there is no parameter `{name}` here{did_you_mean(name, known)}"
        raise RefusedError(422, "unknown_parameter", message, path=f"query.{name}")


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": ErrorAnswer, "description": "a name that is not allowed"},
    403: {"model": ErrorAnswer, "description": "a foreign host or page, or a token that does not suffice"},
    404: {"model": ErrorAnswer, "description": "there is no such run or experiment"},
    422: {"model": ErrorAnswer, "description": "a parameter that is not understood; `path` says which"},
}
"""Answers that any route may give beside its own."""
