"""Asking the read side over HTTP, and being refused."""

from __future__ import annotations

from typing import Any

import httpx

from mlgym.server.api.models.base import ErrorAnswer

API = "/api/v1/runs"


def got(http: httpx.Client, path: str, **params: Any) -> Any:
    answer = http.get(f"{API}{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(http: httpx.Client, path: str, **params: Any) -> dict[str, Any]:
    answer = http.get(f"{API}{path}", params=params)
    assert 400 <= answer.status_code < 500, answer.text
    error: dict[str, Any] = ErrorAnswer.model_validate(answer.json()).error.model_dump()
    return error


def ids(table: dict[str, Any]) -> list[int]:
    return [row["experiment_id"] for row in table["rows"]]
