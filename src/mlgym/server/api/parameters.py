"""The parameters that routes of the read side share, each with its meaning and its limits."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from fastapi import Path, Query

from mlgym.server.api.models.base import ErrorAnswer

MAX_ROWS: Final = 10_000
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

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": ErrorAnswer, "description": "a name that is not allowed"},
    403: {"model": ErrorAnswer, "description": "a foreign host or page, or a token that does not suffice"},
    404: {"model": ErrorAnswer, "description": "there is no such run or experiment"},
    422: {"model": ErrorAnswer, "description": "a parameter that is not understood; `path` says which"},
}
"""Answers that any route may give beside its own."""
