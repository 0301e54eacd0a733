"""The read side of the hub: every query about runs, answered from memory; an answer is encoded already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, Final

import msgspec
from fastapi import Response

from mlgym.errors import RunError
from mlgym.events import ExperimentState, MetricPoint
from mlgym.server.api import curves, exports
from mlgym.server.api.filter import parse_filter
from mlgym.server.api.loads import loads_of
from mlgym.server.api.log_lines import LogQuery, log_lines
from mlgym.server.api.model_card import checkpoint_facts, model_card, reproduction_facts
from mlgym.server.api.model_card_page import markdown_card
from mlgym.server.api.models.curves import MetricQuery
from mlgym.server.api.run_list import RunQuery, downwards_hint, page_of
from mlgym.server.api.summaries import Summaries, summary_of, with_notes
from mlgym.server.api.table import Table, value_of
from mlgym.server.api.timeline import timeline_of
from mlgym.server.notes_log import NotesLog
from mlgym.server.projection.projection import Projection
from mlgym.server.projection.projections import Projections
from mlgym.server.projection.reader import Reader
from mlgym.server.refusal import RefusedError, not_found
from mlgym.server.senders import has_sender
from mlgym.server.store import HubStore
from mlgym.server.trash import Trash

JSON: Final = "application/json"
COLUMNS: Final = "application/vnd.mlgym.columns"
_CONFIG_FILE: Final = "grid_search_config.yml"
_MAX_CONFIG_BYTES: Final = 2**20
_AT_ONCE_BYTES: Final = 16 * 2**20
"""What is read within half a second."""
_EXPORTS: Final = {
    "csv": (exports.as_csv, "text/csv; charset=utf-8"),
    "parquet": (exports.as_parquet, "application/vnd.apache.parquet"),
}
_REPORTS: Final = {
    "json": (JSON, "json"),
    "text": ("text/plain; charset=utf-8", "txt"),
    "markdown": ("text/markdown; charset=utf-8", "md"),
    "latex": ("text/plain; charset=utf-8", "tex"),
    "csv": ("text/csv; charset=utf-8", "csv"),
    "html": ("text/html; charset=utf-8", "html"),
}
"""Media type and suffix of each form of a report."""


class Reads:
    """Answers queries about runs. `at` is a number of events, None for all there are.

    Any method may raise `RefusedError` for what is not there or not understood, `InvalidNameError` for what can be no
    run id, and `EventLogError` where a log cannot be read.

    Args:
        store: where runs are.
        notes: what people wrote on them.
        trash: the deleted ones.
        at_once_bytes: how much of logs is read while somebody waits for the list of runs, and while a thread waits.
    """

    def __init__(self, store: HubStore, notes: NotesLog, trash: Trash, *, at_once_bytes: int = _AT_ONCE_BYTES) -> None:
        self._at_once_bytes = at_once_bytes
        self._store = store
        self._notes = notes
        self._trash = trash
        self._projections = Projections(store)
        self._reader = Reader(self._projections)
        self._summaries = Summaries(store.storage, self._projections, self._reader, at_once_bytes=at_once_bytes)

    def close(self) -> None:
        """Keeps what was read for the next start."""
        self._reader.close()
        self._summaries.save()
        self._projections.close()

    def reading(self, run_id: str) -> Future[None] | None:
        """Gives what is done once a long log was read; None for one that is read in no time.

        All else that is asked about a run reads what is left of it in the thread that asks: of long logs, enough
        questions would leave no thread to any other.
        """
        folder = self._store.run(run_id)
        if self._projections.num_unread(folder.log_path) <= self._at_once_bytes:
            return None
        return self._reader.want(folder, is_awaited=True)

    def runs(self, query: RunQuery, *, trash: bool) -> Response:
        """Gives a page of `RunList`."""
        if trash:
            trashed = {one.folder.log_path: one for one in self._trash.runs()}
            of_all = self._summaries.of_all(one.folder for one in trashed.values())
            facts_of = {folder.log_path: facts for folder, facts in of_all}
            found = [
                with_notes(facts_of[path], self._notes.of_trashed(one.run_id, one.number))
                | {"run_id": one.run_id, "is_trashed": True}
                for path, one in trashed.items()
            ]
        else:
            notes = self._notes.all()
            found = [
                with_notes(facts, notes[facts["run_id"]]) if facts["run_id"] in notes else facts
                for facts in self._summaries.all(query.run)
            ]
        return _json(page_of(found, query))

    def run(self, run_id: str, at: int | None) -> Response:
        """Gives a `RunDetail`."""
        with self._projections.hold(run_id) as projection:
            view = projection.view(at)
            state, table = view.state, Table.of(view)
            facts = with_notes(summary_of(view, run_id), self._notes.of(run_id))
            return _json(
                facts
                | {
                    "at": view.at,
                    "num_events": projection.state.num_events,
                    "num_bytes": projection.num_bytes,
                    "last_crc": projection.last_crc,
                    "command": state.command,
                    "versions": state.versions,
                    "environment": state.environment,
                    "validation": state.validation,
                    "final_counts": state.final_counts,
                    "num_starts": state.num_starts,
                    "is_live": view.is_now and view.is_live,
                    "has_sender": view.is_now and has_sender(projection.path.parent),
                    "metric_keys": table.metrics,
                    "swept_keys": table.swept,
                    "config_text": self._config_text(run_id),
                }
            )

    def timeline(self, run_id: str, at: int | None, points: int) -> Response:
        """Gives a `Timeline`."""
        with self._projections.hold(run_id) as projection:
            return _json(timeline_of(projection, projection.view(at), points))

    def logs(self, run_id: str, query: LogQuery, at: int | None) -> Response:
        """Gives `LogLines`."""
        with self._projections.hold(run_id) as projection:
            if query.experiment is not None and query.experiment >= 0:
                curves.refuse_unknown_experiments(projection.view(), [query.experiment], path="experiment")
            return _json(log_lines(projection, projection.view(at), query))

    def report(
        self, run_id: str, *, format: str, metric: str | None, compare: str | None, against: str | None, at: int | None
    ) -> Response:
        """Gives what `mlgym report` says."""
        from mlgym.validation.report import report_of

        with ExitStack() as stack:
            # In one order everywhere, so that two questions never wait for each other.
            held = {
                name: stack.enter_context(self._projections.hold(name))
                for name in sorted({run_id, *([against] if against else [])})
            }
            state = held[run_id].marked(held[run_id].view(at))
            other = held[against].marked(held[against].view()) if against else None
            try:
                report = report_of(state, run_id=run_id, metric=metric, compare=compare, against=other)
                text = str(getattr(report, f"to_{format}")())
            except RunError as error:
                raise RefusedError(422, "no_report", str(error)) from error
        media_type, suffix = _REPORTS[format]
        # Nothing that a log says is shown as a page of this service.
        name = f"{run_id}-report.{suffix}" if format in ("html", "csv") else None
        return _file(text.encode(), media_type, name)

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
        condition = parse_filter(text or "")
        with self._projections.hold(run_id) as projection:
            view = projection.view(at)
            table = Table.of(view)
            curves.refuse_unknown_metrics(projection.view(), metrics or (), path="columns")
            try:
                found = table.chosen(condition, sort, order)
            except KeyError as error:
                message = f"{error.args[0]}{downwards_hint(sort)}"
                raise RefusedError(422, "unknown_column", message, path="sort") from None
            page = found[offset : offset + limit]
            rows = [table.encoded_row(one) if metrics is None else table.row(one, metrics) for one in page]
            facts = {"at": view.at, "total": len(found), "num_all": len(table), "columns": table.columns}
            return _json(facts | {"rows": rows})

    def experiment(self, run_id: str, experiment_id: int, at: int | None) -> Response:
        """Gives an `ExperimentDetail`."""
        with self._projections.hold(run_id) as projection:
            table, one = _experiment(projection, experiment_id, at)
            return _json(_details(run_id, table, one))

    def model_card(self, run_id: str, experiment_id: int, *, format: str, at: int | None) -> Response:
        """Gives a `ModelCard` or its Markdown."""
        with self._projections.hold(run_id) as projection:
            card = model_card(self._store.run(run_id), *_experiment(projection, experiment_id, at))
            if format == "markdown":
                return _file(markdown_card(card).encode(), "text/markdown; charset=utf-8", None)
            return _json(card)

    def system_info(self, run_id: str, experiment_id: int) -> Response:
        """Gives the surroundings in which an experiment was trained."""
        with self._projections.hold(run_id) as projection:
            _experiment(projection, experiment_id, None)
            if not projection.state.environment:
                raise not_found(f"the log of run `{run_id}` does not say on which machine it was trained")
            return _json(projection.state.environment)

    def system_metrics(self, run_id: str, experiment_id: int, at: int | None, points: int) -> Response:
        """Gives `SystemMetricColumns`."""
        with self._projections.hold(run_id) as projection:
            table, _ = _experiment(projection, experiment_id, at)
            return _json(loads_of(projection, table.view, experiment_id, points))

    def metrics(self, run_id: str, query: MetricQuery) -> Response:
        """Gives `MetricColumns`, or the same in binary."""
        with self._projections.hold(run_id) as projection:
            view = projection.view(query.at)
            # A moment at which something had not come yet is no reason to refuse it.
            curves.refuse_unknown_metrics(projection.view(), query.keys, path="keys")
            curves.refuse_unknown_experiments(projection.view(), query.experiments or (), path="experiments")
            found = curves.curves_of(view, query)
        if query.format == "binary":
            return Response(curves.as_binary(run_id, view.at, found), media_type=COLUMNS)
        return Response(curves.as_json(run_id, view.at, found), media_type=JSON)

    def diff(self, run_id: str, a: str, b: str, at: int | None) -> Response:
        """Gives a `ConfigDiff`."""
        from mlgym.config.difference import config_changes  # takes longer to import than a service to start

        sides = [self._config_of(run_id, reference, name, at) for reference, name in ((a, "a"), (b, "b"))]
        changes = config_changes(sides[0][1], sides[1][1])
        shown = [{"key": one.key, "kind": one.kind, "old": one.old, "new": one.new} for one in changes]
        return _json({"a": sides[0][0], "b": sides[1][0], "changes": shown})

    def export(self, run_id: str, *, format: str, what: str, text: str | None, at: int | None) -> Response:
        """Gives a file."""
        condition = parse_filter(text or "")
        make = exports.experiments_frame if what == "experiments" else exports.metrics_frame
        with self._projections.hold(run_id) as projection:
            table = Table.of(projection.view(at))
            frame = make(table, table.chosen(condition, "experiment_id", "asc"))
        encode, media_type = _EXPORTS[format]
        return _file(encode(frame), media_type, f"{run_id}-{what}.{format}")

    def _config_of(self, run_id: str, reference: str, name: str, at: int | None) -> tuple[str, dict[str, Any]]:
        *other, experiment = reference.split("/")
        if len(other) > 1 or not re.fullmatch(r"[0-9]{1,9}", experiment):
            message = f"`{reference}` is no experiment; expected `3` or `RUN/3`"
            raise RefusedError(422, "invalid_reference", message, path=name)
        wanted = other[0] if other else run_id
        with self._projections.hold(wanted) as projection:
            # A moment belongs to the run of the address.
            _, one = _experiment(projection, int(experiment), at if wanted == run_id else None)
            return f"{wanted}/{one.experiment_id}", one.config

    def _config_text(self, run_id: str) -> str | None:
        path = self._store.run(run_id).path / _CONFIG_FILE
        try:
            if path.is_symlink() or path.stat().st_size > _MAX_CONFIG_BYTES:
                return None
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None


def _experiment(projection: Projection, experiment_id: int, at: int | None) -> tuple[Table, ExperimentState]:
    view = projection.view(at)
    found = view.state.experiments.get(experiment_id)
    if found is None:
        raise curves.no_experiment(view, experiment_id)
    return Table.of(view), found


def _details(run_id: str, table: Table, one: ExperimentState) -> dict[str, Any]:
    digest = one.digest
    return table.row(one) | {
        "run_id": run_id,
        "at": table.view.at,
        "config": one.config,
        "metrics": [_metric(table, one, key) for key in table.metrics if one.metrics.get(key)],
        "tables": [
            {"key": key, "epoch": table_.epoch, "step": table_.step, "values": table_.values}
            for key, table_ in one.tables.items()
        ],
        "checkpoints": [checkpoint_facts(each) for each in one.checkpoints.values()],
        "digest": None
        if digest is None
        else {name: getattr(digest, name) for name in ("epoch", "step", "parameters", "optimizer")},
        "reproduction": reproduction_facts(one.reproduction),
        "stacktrace": one.stacktrace,
        "log_tail": one.log_tail,
        "lineage": one.lineage,
        "num_parameters": one.model.num_parameters if one.model else None,
    }


def _metric(table: Table, one: ExperimentState, key: str) -> dict[str, Any]:
    best: MetricPoint | None = one.best(key, table.directions[key])
    history = one.metrics[key]
    return {
        "key": key,
        "direction": table.directions[key],
        "num_points": len(history),
        "latest": value_of(history[-1]),
        "best": value_of(best) if best else None,
    }


def _json(data: Any) -> Response:
    return Response(msgspec.json.encode(data), media_type=JSON)


def _file(data: bytes, media_type: str, name: str | None) -> Response:
    headers = {} if name is None else {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type=media_type, headers=headers)
