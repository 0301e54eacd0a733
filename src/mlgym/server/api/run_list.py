"""The list of runs: which of them, in which order, which page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlgym.names import did_you_mean
from mlgym.server.refusal import RefusedError

_SORTS: Final = (
    "created_at", "last_event_at", "started_at", "finished_at", "name", "run_id", "status", "duration_s",
    "num_experiments", "num_events",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs.

    Args:
        search: text within id, name, tags or notes, in any case; None for all.
        status: any of these; empty for all.
        tag: all of these.
        sort: a field of the summary, or a metric for its best value.
        order: `asc` or `desc`; runs without a value come last in both.
        limit, offset: which page.
        run: none but these; empty for all.
    """

    search: str | None
    status: Sequence[str]
    tag: Sequence[str]
    sort: str
    order: str
    limit: int
    offset: int
    run: Sequence[str] = ()


def page_of(runs: Sequence[dict[str, Any]], query: RunQuery) -> dict[str, Any]:
    """Gives a `RunList`.

    Args:
        runs: summaries of all runs.
        query: which of them.

    Raises:
        RefusedError: nothing is called as they are to be sorted.
    """
    matching = [run for run in runs if _matches(run, query)]
    if not query.run:  # what other runs have is not known then
        _check_sort(query.sort, runs)
    keyed = [(_order_of(run, query.sort), run) for run in matching]
    some = sorted(
        ((key, run) for key, run in keyed if key is not None),
        key=lambda item: (item[0], item[1]["run_id"]),
        reverse=query.order == "desc",
    )
    # In one order, too, or pages would repeat some and leave out others.
    others = sorted((run for key, run in keyed if key is None), key=lambda run: str(run["run_id"]))
    ordered = [run for _, run in some] + others
    return {"total": len(ordered), "runs": ordered[query.offset : query.offset + query.limit]}


def downwards_hint(sort: str) -> str:
    """Gives what to add to the refusal of a key that says by its sign which way to sort, as other services take it."""
    return " (`order=desc` sorts from the largest down)" if sort.startswith("-") else ""


def _matches(run: dict[str, Any], query: RunQuery) -> bool:
    if query.run and run["run_id"] not in query.run:
        return False
    if query.status and run["status"] not in query.status:
        return False
    if not set(query.tag) <= set(run["tags"]):
        return False
    if not query.search:
        return True
    texts = [run["run_id"], run["name"] or "", run["notes"], *run["tags"]]
    return query.search.casefold() in "\n".join(texts).casefold()


def _check_sort(sort: str, runs: Sequence[dict[str, Any]]) -> None:
    if sort in _SORTS or ("/" in sort and not sort.startswith("-")):
        return
    known = [*_SORTS, *dict.fromkeys(metric["key"] for run in runs for metric in run["metrics"])]
    if sort not in known:
        hint = did_you_mean(sort.removeprefix("-"), known) + downwards_hint(sort)
        raise RefusedError(422, "unknown_column", f"runs have no `{sort}`{hint}", path="sort")


def _order_of(run: dict[str, Any], sort: str) -> Any:
    if sort in _SORTS:
        value = run[sort]
        return value.casefold() if isinstance(value, str) else value
    for metric in run["metrics"]:
        if metric["key"] == sort and metric["best"] is not None:
            value = metric["best"]["value"]
            name = metric["best"]["non_finite"]
            return value if value is not None else math.inf if name == "inf" else -math.inf
    return None
