"""What the routes of the read side ask for; every answer is a response that is encoded already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fastapi import Response

from mlgym.server.api.models import MetricQuery


class Reads(Protocol):
    """Answers queries about runs. `at` is a number of events, None for all there are."""

    def runs(
        self,
        *,
        search: str | None,
        status: Sequence[str],
        tag: Sequence[str],
        sort: str,
        order: str,
        limit: int,
        offset: int,
        trash: bool,
    ) -> Response:
        """Gives a page of `RunList`."""

    def run(self, run_id: str, at: int | None) -> Response:
        """Gives a `RunDetail`."""

    def timeline(self, run_id: str, at: int | None, points: int) -> Response:
        """Gives a `Timeline`."""

    def logs(
        self,
        run_id: str,
        experiment: int | None,
        *,
        level: str | None,
        contains: str | None,
        tail: int,
        before: int | None,
        at: int | None,
    ) -> Response:
        """Gives `LogLines`."""

    def experiments(
        self,
        run_id: str,
        *,
        at: int | None,
        text: str | None,
        sort: str,
        order: str,
        limit: int,
        offset: int,
        metrics: Sequence[str] | None,
    ) -> Response:
        """Gives a page of an `ExperimentTable`."""

    def experiment(self, run_id: str, experiment_id: int, at: int | None) -> Response:
        """Gives an `ExperimentDetail`."""

    def model_card(self, run_id: str, experiment_id: int, *, format: str, at: int | None) -> Response:
        """Gives a `ModelCard` or its Markdown."""

    def metrics(self, run_id: str, query: MetricQuery) -> Response:
        """Gives `MetricColumns`, or the same in binary."""

    def diff(self, run_id: str, a: str, b: str, at: int | None) -> Response:
        """Gives a `ConfigDiff`."""

    def export(self, run_id: str, *, format: str, what: str, text: str | None, at: int | None) -> Response:
        """Gives a file."""
